import type { CSSProperties } from "react";
import type { Id } from "../../api/types";
import { hue, initials } from "../identity";
import styles from "./GuildBanner.module.css";

/** A guild's face: a hanging banner in its colour with its initials. */
export function GuildBanner({ id, name, size }: { id: Id; name: string; size: number }) {
  const style = { "--size": `${size}px`, "--hue": hue(id) } as CSSProperties;
  // The initials are drawn by the style sheet: as text they would be a second, wrong name of the control around them.
  return <span className={styles.banner} style={style} data-initials={initials(name)} aria-hidden="true" />;
}
