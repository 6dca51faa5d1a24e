import type { ForumTag, Id } from "../../api/types";
import styles from "./Tags.module.css";

/** How many a post may bear. */
export const MAX_APPLIED = 5;

/** The tags that a post bears, in the order of its forum. */
export function TagList({ offered, applied }: { offered: readonly ForumTag[]; applied: readonly Id[] }) {
  const shown = offered.filter((tag) => applied.includes(tag.id));
  if (shown.length === 0) return null;
  return (
    <span className={styles.tags}>
      {shown.map((tag) => (
        <span key={tag.id} className={styles.tag} data-testid="tag">
          <TagName tag={tag} />
        </span>
      ))}
    </span>
  );
}

interface PickerProps {
  label: string;
  tags: readonly ForumTag[];
  chosen: readonly Id[];
  /** Those that cannot be switched. */
  isFixed?: (tag: ForumTag) => boolean;
  onChange: (chosen: readonly Id[]) => void;
}

/** Tags to switch on and off. */
export function TagPicker({ label, tags, chosen, isFixed, onChange }: PickerProps) {
  return (
    <div className={styles.tags} role="group" aria-label={label}>
      {tags.map((tag) => (
        <button
          key={tag.id}
          type="button"
          className={styles.tag}
          aria-pressed={chosen.includes(tag.id)}
          disabled={isFixed?.(tag) === true}
          data-testid="tag-choice"
          onClick={() => onChange(chosen.includes(tag.id) ? chosen.filter((id) => id !== tag.id) : [...chosen, tag.id])}
        >
          <TagName tag={tag} />
        </button>
      ))}
    </div>
  );
}

function TagName({ tag }: { tag: ForumTag }) {
  return (
    <>
      {tag.emoji_id === null && tag.emoji_name !== null && <span aria-hidden="true">{tag.emoji_name}</span>}
      {tag.name}
    </>
  );
}
