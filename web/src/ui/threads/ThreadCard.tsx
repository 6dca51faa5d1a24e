import type { Id, Message } from "../../api/types";
import { useApp, useModel } from "../context";
import { ThreadIcon } from "../parts/icons";
import styles from "./ThreadsDialog.module.css";

/** The thread that was started from a message, below it. */
export function ThreadCard({ guildId, message }: { guildId: Id; message: Message }) {
  const app = useApp();
  // A thread has the id of the message that it was started from; an archived one is only told with the message.
  const thread = useModel((model) => model.threads[message.id] ?? message.thread);
  // The first message of a forum's post has the post's id, and is in it.
  if (thread === undefined || thread.id === message.channel_id) return null;
  return (
    <button type="button" className={styles.card} data-testid="thread-card" data-name={thread.name} onClick={() => void app.openThread(guildId, thread.id)}>
      <ThreadIcon size={18} />
      <strong>{thread.name}</strong>
      <small>{thread.thread_metadata.archived ? "archived" : thread.message_count === 1 ? "1 message" : `${thread.message_count} messages`}</small>
    </button>
  );
}
