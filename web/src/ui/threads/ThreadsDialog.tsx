import { useState } from "react";
import { sentence } from "../../api/error";
import { ChannelType, type ForumTag, type Id, type Thread } from "../../api/types";
import { Permission } from "../../state/permissions";
import { displayName, isUnread, mayInChannel } from "../../state/select";
import { snowflakeMs } from "../../state/snowflake";
import { activeThreads, isPinned } from "../../state/threads";
import { Failure } from "../auth/AuthScreen";
import { useApp, useModel } from "../context";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { LockIcon, ThreadIcon } from "../parts/icons";
import { Tabs } from "../settings/Tabs";
import { useLoaded } from "../settings/useLoaded";
import { formatTimestamp } from "../time";
import { TagList } from "./Tags";
import styles from "./ThreadsDialog.module.css";

const NO_TAGS: readonly ForumTag[] = [];

/** The threads of a channel: those that go on, and those that rest. */
export function ThreadsDialog({ guildId, channelId, onStart, onClose }: { guildId: Id; channelId: Id; onStart: () => void; onClose: () => void }) {
  const name = useModel((model) => model.channels[channelId]?.name ?? "");
  const mayStart = useModel((model) => mayInChannel(model, channelId, Permission.createPublicThreads) || mayInChannel(model, channelId, Permission.createPrivateThreads));
  return (
    <Dialog isWide title={`Threads of #${name}`} onClose={onClose}>
      <Tabs
        tabs={[
          { id: "active", title: "Active", content: <Active guildId={guildId} channelId={channelId} onClose={onClose} /> },
          { id: "archived", title: "Archived", content: <Archived guildId={guildId} channelId={channelId} onClose={onClose} /> },
        ]}
      />
      {mayStart && (
        <Button className={styles.start} data-testid="thread-create" onClick={onStart}>
          Start a thread
        </Button>
      )}
    </Dialog>
  );
}

interface ListProps {
  guildId: Id;
  channelId: Id;
  onClose: () => void;
}

function Active({ guildId, channelId, onClose }: ListProps) {
  const threads = useModel((model) => activeThreads(model.threads, channelId));
  if (threads.length === 0) return <p className={styles.empty}>No thread goes on here. Start one from a message, or below.</p>;
  return (
    <ul className={styles.list}>
      {threads.map((thread) => (
        <ThreadRow key={thread.id} guildId={guildId} thread={thread} onOpen={onClose} />
      ))}
    </ul>
  );
}

function Archived({ guildId, channelId, onClose }: ListProps) {
  const app = useApp();
  const { value, failure } = useLoaded(() => app.archivedThreads(channelId, null));
  const [older, setOlder] = useState<{ threads: readonly Thread[]; hasMore: boolean } | null>(null);
  const threads = [...(value?.threads ?? []), ...(older?.threads ?? [])];
  const last = threads.findLast((thread) => thread.type !== ChannelType.privateThread);
  const more = async () => {
    if (last === undefined) return;
    try {
      const page = await app.archivedThreads(channelId, last.thread_metadata.archive_timestamp);
      setOlder({ threads: [...(older?.threads ?? []), ...page.threads], hasMore: page.hasMore });
    } catch (error) {
      app.notify(sentence(error));
    }
  };
  return (
    <>
      <Failure text={failure} />
      {value === null && failure === null && <p role="status">Looking…</p>}
      {value !== null && threads.length === 0 && <p className={styles.empty}>Nothing is archived. A thread goes there when nobody writes in it for days.</p>}
      <ul className={styles.list}>
        {threads.map((thread) => (
          <ThreadRow key={thread.id} guildId={guildId} thread={thread} onOpen={onClose} />
        ))}
      </ul>
      {(older ?? value)?.hasMore === true && (
        <Button look="quiet" onClick={() => void more()}>
          Older
        </Button>
      )}
    </>
  );
}

/** A thread with how it goes, to open it. */
export function ThreadRow({ guildId, thread, onOpen }: { guildId: Id; thread: Thread; onOpen: () => void }) {
  const app = useApp();
  const owner = useModel((model) => displayName(model, guildId, thread.owner_id));
  const tags = useModel((model) => model.channels[thread.parent_id]?.available_tags ?? NO_TAGS);
  const hasNews = useModel((model) => isUnread(model, thread.id));
  const [nowMs] = useState(() => Date.now());
  const lastMs = snowflakeMs(thread.last_message_id ?? thread.id);
  return (
    <li className={styles.row} data-testid="thread-item" data-name={thread.name} data-unread={hasNews}>
      <button
        type="button"
        onClick={() => {
          onOpen();
          app.learnThread(thread);
          void app.openThread(guildId, thread.id);
        }}
      >
        {thread.type === ChannelType.privateThread || thread.thread_metadata.locked ? <LockIcon size={18} /> : <ThreadIcon size={18} />}
        <span>
          <strong>{thread.name}</strong>
          <small>
            by {owner} · {thread.message_count === 1 ? "1 message" : `${thread.message_count} messages`} · {formatTimestamp(lastMs, "R", nowMs)}
          </small>
          <TagList offered={tags} applied={thread.applied_tags} />
        </span>
        {isPinned(thread) && <em data-testid="post-pinned">pinned</em>}
        {thread.member !== undefined && <em>joined</em>}
      </button>
    </li>
  );
}
