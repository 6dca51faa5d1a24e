import type { CSSProperties } from "react";
import type { Id, Status } from "../../api/types";
import { hue, initials } from "../identity";
import styles from "./Avatar.module.css";

interface Props {
  id: Id;
  name: string;
  size: number;
  status?: Status;
  isSpeaking?: boolean;
}

/** A round seal with initials; the name next to it (or the control around it) says whose it is. */
export function Avatar({ id, name, size, status, isSpeaking = false }: Props) {
  const style = { "--size": `${size}px`, "--hue": hue(id) } as CSSProperties;
  return (
    <span className={styles.avatar} style={style} data-speaking={isSpeaking} aria-hidden="true">
      {initials(name)}
      {status !== undefined && <span className={styles.status} data-status={status} />}
    </span>
  );
}
