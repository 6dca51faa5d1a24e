import styles from "./Brand.module.css";

/** The hall: a pediment on three columns. */
export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg aria-hidden="true" width={size} height={size} viewBox="0 0 32 32" fill="currentColor">
      <path d="M16 4 3.5 11.5h25zM6.5 13.5h3.2v10H6.5zm7.9 0h3.2v10h-3.2zm7.9 0h3.2v10h-3.2zM4.5 25h23v2.8h-23z" />
    </svg>
  );
}

export function Brand() {
  return (
    <span className={styles.brand}>
      <Mark size={34} />
      <span>Guildhall</span>
    </span>
  );
}
