import type { Thread } from "../../api/types";
import { isUnread } from "../../state/select";
import { useApp, useModel } from "../context";
import { Badge } from "../parts/Badge";
import styles from "./ChannelItem.module.css";

/** A thread below its channel in the sidebar. */
export function ThreadItem({ thread, isOpen, onOpen }: { thread: Thread; isOpen: boolean; onOpen: () => void }) {
  const app = useApp();
  const hasNews = useModel((model) => isUnread(model, thread.id));
  const mentions = useModel((model) => model.readStates[thread.id]?.mentions ?? 0);
  return (
    <li>
      <button
        type="button"
        className={styles.channel}
        data-thread
        data-unread={hasNews}
        aria-current={isOpen ? "page" : undefined}
        aria-label={hasNews ? `Thread ${thread.name}, unread` : `Thread ${thread.name}`}
        data-testid="channel-thread"
        data-name={thread.name}
        onClick={() => {
          void app.openThread(thread.guild_id, thread.id);
          onOpen();
        }}
      >
        <span className={styles.name}>{thread.name}</span>
        <Badge count={mentions} />
      </button>
    </li>
  );
}
