import { useEffect } from "react";
import { useApp, usePage } from "../context";
import { IconButton } from "./Button";
import { CloseIcon } from "./icons";
import styles from "./Notices.module.css";

/** Long enough to read two sentences. */
const SHOWN_MS = 8_000;

/** What went wrong outside of any form. */
export function Notices() {
  const notices = usePage((page) => page.notices);
  return (
    <div className={styles.notices} role="alert">
      {notices.map((notice) => (
        <Notice key={notice.id} id={notice.id} text={notice.text} />
      ))}
    </div>
  );
}

function Notice({ id, text }: { id: number; text: string }) {
  const app = useApp();
  useEffect(() => {
    const timer = setTimeout(() => app.dismiss(id), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [app, id]);
  return (
    <div className={styles.notice} data-testid="notice">
      <span>{text}</span>
      <IconButton label="Dismiss" onClick={() => app.dismiss(id)}>
        <CloseIcon size={16} />
      </IconButton>
    </div>
  );
}
