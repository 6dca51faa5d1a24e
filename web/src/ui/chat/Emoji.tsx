import type { EmojiRef } from "../../api/types";
import { emojiUrl } from "../media";
import styles from "./Emoji.module.css";

/** A character, or a guild's own picture. */
export function Emoji({ emoji }: { emoji: EmojiRef }) {
  if (emoji.id === null) return <span>{emoji.name}</span>;
  const name = `:${emoji.name ?? "emoji"}:`;
  return <img className={styles.emoji} src={emojiUrl(emoji.id)} alt={name} title={name} loading="lazy" draggable={false} />;
}
