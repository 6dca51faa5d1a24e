import styles from "./Badge.module.css";

/** How many unread messages name this user; nothing if none. */
export function Badge({ count }: { count: number }) {
  if (count === 0) return null;
  return (
    <span className={styles.badge} data-testid="mention-count">
      <span className="visually-hidden">mentions: </span>
      {count > 99 ? "99+" : count}
    </span>
  );
}
