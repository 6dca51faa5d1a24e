import { type FormEvent, useState } from "react";
import { sentence } from "../../api/error";
import type { Id, Thread } from "../../api/types";
import { Permission } from "../../state/permissions";
import { mayInChannel } from "../../state/select";
import { activeThreads } from "../../state/threads";
import { Failure } from "../auth/AuthScreen";
import { ChannelHeader } from "../chat/ChannelHeader";
import { MAX_CONTENT } from "../chat/limits";
import { useApp, useModel } from "../context";
import dialogs from "../guild/dialogs.module.css";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import fields from "../parts/Field.module.css";
import type { MembersToggle } from "../Shell";
import { useLoaded } from "../settings/useLoaded";
import styles from "./ForumView.module.css";
import { ThreadRow } from "./ThreadsDialog";

interface Props {
  guildId: Id;
  channelId: Id;
  members: MembersToggle;
  onBack: () => void;
}

/** A channel of posts: each one is a thread with a title. */
export function ForumView({ guildId, channelId, members, onBack }: Props) {
  const app = useApp();
  const active = useModel((model) => activeThreads(model.threads, channelId));
  const topic = useModel((model) => model.channels[channelId]?.topic ?? null);
  const mayPost = useModel((model) => mayInChannel(model, channelId, Permission.sendMessages));
  const { value, failure } = useLoaded(() => app.archivedThreads(channelId, null));
  const [isPosting, setPosting] = useState(false);
  const archived = (value?.threads ?? []).filter((thread) => !active.some((other) => other.id === thread.id));
  return (
    <main className={styles.forum}>
      <ChannelHeader guildId={guildId} channelId={channelId} members={members} onBack={onBack} />
      <div className={styles.page} data-testid="forum">
        {topic !== null && topic !== "" && <p className={styles.topic}>{topic}</p>}
        {mayPost && (
          <Button data-testid="post-create" onClick={() => setPosting(true)}>
            New post
          </Button>
        )}
        <Failure text={failure} />
        {active.length === 0 && archived.length === 0 && value !== null && <p className={styles.topic}>Nobody has posted here yet.</p>}
        <Posts guildId={guildId} title="Active" threads={active} />
        <Posts guildId={guildId} title="Older" threads={archived} />
      </div>
      {isPosting && <PostDialog guildId={guildId} channelId={channelId} onClose={() => setPosting(false)} />}
    </main>
  );
}

function Posts({ guildId, title, threads }: { guildId: Id; title: string; threads: readonly Thread[] }) {
  if (threads.length === 0) return null;
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <ul className={styles.posts}>
        {threads.map((thread) => (
          <ThreadRow key={thread.id} guildId={guildId} thread={thread} onOpen={() => undefined} />
        ))}
      </ul>
    </section>
  );
}

function PostDialog({ guildId, channelId, onClose }: { guildId: Id; channelId: Id; onClose: () => void }) {
  const app = useApp();
  const [title, setTitle] = useState("");
  const [text, setText] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      await app.post(guildId, channelId, title.trim(), text.trim());
      onClose();
    } catch (error) {
      setFailure(sentence(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title="New post" isWide onClose={onClose}>
      <form className={dialogs.form} onSubmit={(event) => void submit(event)}>
        <Field label="Title" required maxLength={100} value={title} data-testid="post-title" onChange={(event) => setTitle(event.target.value)} />
        <div className={fields.field}>
          <label htmlFor="post-text">Text</label>
          <textarea id="post-text" required rows={6} maxLength={MAX_CONTENT} value={text} data-testid="post-text" onChange={(event) => setText(event.target.value)} />
        </div>
        <Failure text={failure} />
        <Button type="submit" disabled={isBusy} data-testid="post-submit">
          Post it
        </Button>
      </form>
    </Dialog>
  );
}
