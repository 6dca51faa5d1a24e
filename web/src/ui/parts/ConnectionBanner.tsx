import { useModel } from "../context";
import styles from "./ConnectionBanner.module.css";

/** Says that what is on the screen may be behind. It waits a moment before it shows: most cuts heal at once. */
export function ConnectionBanner() {
  const gateway = useModel((model) => model.gateway);
  const text =
    gateway === "ready"
      ? null
      : gateway === "refused"
        ? "The server refused the connection. Reload the page."
        : gateway === "waiting"
          ? "Connection lost. Reconnecting…"
          : "Connecting…";
  return (
    <div className={styles.slot} role="status">
      {text !== null && (
        <p className={styles.banner} data-testid="connection-banner">
          <span className={styles.pulse} />
          {text}
        </p>
      )}
    </div>
  );
}
