import { useState } from "react";
import type { ForumTag, Id, Thread } from "../../api/types";
import { Permission } from "../../state/permissions";
import { mayInChannel, mayRunThread } from "../../state/select";
import { Conversation } from "../chat/Conversation";
import { useApp, useModel } from "../context";
import { ConfirmDialog } from "../guild/dialogs";
import { Button, IconButton } from "../parts/Button";
import { ArchiveIcon, CloseIcon, LockIcon, PencilIcon, PeopleIcon, ThreadIcon, TrashIcon } from "../parts/icons";
import { EditThreadDialog } from "./EditThreadDialog";
import { TagList } from "./Tags";
import { ThreadMembers } from "./ThreadMembers";
import styles from "./ThreadPanel.module.css";

const NO_TAGS: readonly ForumTag[] = [];

/** A thread beside its channel: its history, and what can be done with it. */
export function ThreadPanel({ guildId, threadId }: { guildId: Id; threadId: Id }) {
  const thread = useModel((model) => model.threads[threadId]);
  return (
    <aside className={styles.panel} aria-label="Thread" data-testid="thread">
      {thread === undefined ? <p className={styles.wait}>Opening the thread…</p> : <Opened key={threadId} guildId={guildId} thread={thread} />}
    </aside>
  );
}

function Opened({ guildId, thread }: { guildId: Id; thread: Thread }) {
  const app = useApp();
  const [dialog, setDialog] = useState<"members" | "edit" | "delete" | null>(null);
  const parent = useModel((model) => model.channels[thread.parent_id]?.name ?? "");
  const mayManage = useModel((model) => mayInChannel(model, thread.id, Permission.manageThreads));
  const tags = useModel((model) => model.channels[thread.parent_id]?.available_tags ?? NO_TAGS);
  const mayRun = useModel((model) => mayRunThread(model, thread));
  const { archived, locked } = thread.thread_metadata;
  const close = () => setDialog(null);
  return (
    <>
      <header className={styles.header}>
        <ThreadIcon />
        <div className={styles.title}>
          <h2 title={thread.name} data-testid="thread-title">
            {thread.name}
          </h2>
          <small>in #{parent}</small>
        </div>
        <IconButton label="Close the thread" data-testid="thread-close" onClick={() => app.closeThread()}>
          <CloseIcon />
        </IconButton>
      </header>
      <div className={styles.tools}>
        {!archived &&
          (thread.member === undefined ? (
            <Button className={styles.join} data-testid="thread-join" onClick={() => void app.joinThread(thread)}>
              Join
            </Button>
          ) : (
            <Button look="quiet" className={styles.join} data-testid="thread-leave" onClick={() => void app.leaveThread(thread)}>
              Leave
            </Button>
          ))}
        <Button look="quiet" className={styles.join} aria-label={`${thread.member_count} in this thread`} data-testid="thread-members" onClick={() => setDialog("members")}>
          <PeopleIcon size={16} /> {thread.member_count}
        </Button>
        <span className={styles.space} />
        {mayManage && (
          <IconButton label={locked ? "Unlock the thread" : "Lock the thread"} isOn={locked} data-testid="thread-lock" onClick={() => void app.changeThread(thread, archived ? { archived: false, locked: !locked } : { locked: !locked })}>
            <LockIcon size={18} />
          </IconButton>
        )}
        {mayRun && !archived && (
          <IconButton label="Change the thread" data-testid="thread-edit" onClick={() => setDialog("edit")}>
            <PencilIcon size={18} />
          </IconButton>
        )}
        {mayRun && (
          <IconButton label={archived ? "Take it out of the archive" : "Archive the thread"} isOn={archived} data-testid="thread-archive" onClick={() => void app.changeThread(thread, { archived: !archived })}>
            <ArchiveIcon size={18} />
          </IconButton>
        )}
        {mayManage && (
          <IconButton label="Delete the thread" data-testid="thread-delete" onClick={() => setDialog("delete")}>
            <TrashIcon size={18} />
          </IconButton>
        )}
      </div>
      {thread.applied_tags.length > 0 && (
        <div className={styles.tags}>
          <TagList offered={tags} applied={thread.applied_tags} />
        </div>
      )}
      {(archived || locked) && (
        <p className={styles.note} role="status" data-testid="thread-note">
          {locked ? "Locked: only those who manage threads can write here." : "Archived. Whoever writes here wakes it up."}
        </p>
      )}
      <div className={styles.talk}>
        <Conversation guildId={guildId} channelId={thread.id} />
      </div>
      {dialog === "members" && <ThreadMembers guildId={guildId} thread={thread} onClose={close} />}
      {dialog === "edit" && <EditThreadDialog thread={thread} onClose={close} />}
      {dialog === "delete" && (
        <ConfirmDialog title={`Delete ${thread.name}?`} text="Everything that was written in it is gone for ever." action="Delete" onConfirm={() => void app.deleteThread(thread)} onClose={close} />
      )}
    </>
  );
}
