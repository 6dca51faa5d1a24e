import type { CSSProperties } from "react";
import type { Id } from "../../api/types";
import { hue, initials } from "../identity";
import { iconUrl } from "../media";
import styles from "./GuildBanner.module.css";

/** A guild's face: its picture, or a hanging banner in its colour with its initials. */
export function GuildBanner({ id, name, icon = null, size }: { id: Id; name: string; icon?: string | null; size: number }) {
  const style = { "--size": `${size}px`, "--hue": hue(id) } as CSSProperties;
  if (icon !== null) {
    return (
      <span className={styles.banner} style={style} data-initials="" aria-hidden="true">
        <img src={iconUrl(id, icon, size)} alt="" loading="lazy" />
      </span>
    );
  }
  // The initials are drawn by the style sheet: as text they would be a second, wrong name of the control around them.
  return <span className={styles.banner} style={style} data-initials={initials(name)} aria-hidden="true" />;
}
