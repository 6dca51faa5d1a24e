import type { Message, Reaction } from "../../api/types";
import { useApp } from "../context";
import { Emoji } from "./Emoji";
import styles from "./Reactions.module.css";

/** The reactions below a message; a press adds one's own or takes it back. */
export function Reactions({ message, mayJoin }: { message: Message; mayJoin: boolean }) {
  const app = useApp();
  const { reactions } = message;
  if (reactions === undefined || reactions.length === 0) return null;
  return (
    <ul className={styles.reactions} aria-label="Reactions">
      {reactions.map((reaction) => (
        <li key={reaction.emoji.id ?? reaction.emoji.name}>
          <button
            type="button"
            aria-pressed={reaction.me}
            aria-label={label(reaction)}
            disabled={!mayJoin}
            data-testid="reaction"
            data-emoji={reaction.emoji.name}
            onClick={() => void app.toggleReaction(message, reaction.emoji)}
          >
            <Emoji emoji={reaction.emoji} />
            <b>{reaction.count}</b>
          </button>
        </li>
      ))}
    </ul>
  );
}

function label({ emoji, count, me }: Reaction): string {
  return `${emoji.name ?? "emoji"}, ${count} ${count === 1 ? "reaction" : "reactions"}${me ? ", one is yours" : ""}`;
}
