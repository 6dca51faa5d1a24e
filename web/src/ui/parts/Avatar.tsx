import type { CSSProperties } from "react";
import type { Id, Status } from "../../api/types";
import { hue, initials } from "../identity";
import { avatarUrl } from "../media";
import styles from "./Avatar.module.css";

interface Props {
  id: Id;
  name: string;
  /** The hash of the picture, if there is one. */
  hash?: string | null;
  size: number;
  status?: Status;
  isSpeaking?: boolean;
}

/** A picture, or a round seal with initials; the name next to it (or the control around it) says whose it is. */
export function Avatar({ id, name, hash = null, size, status, isSpeaking = false }: Props) {
  const style = { "--size": `${size}px`, "--hue": hue(id) } as CSSProperties;
  return (
    <span className={styles.avatar} style={style} data-speaking={isSpeaking} aria-hidden="true">
      {hash === null ? initials(name) : <img src={avatarUrl(id, hash, size)} alt="" width={size} height={size} loading="lazy" />}
      {status !== undefined && <span className={styles.status} data-status={status} />}
    </span>
  );
}
