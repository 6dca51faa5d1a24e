import { useState } from "react";
import type { ForumTag, Id, Thread } from "../../api/types";
import { Permission } from "../../state/permissions";
import { mayInChannel } from "../../state/select";
import { activeThreads, taggedPosts } from "../../state/threads";
import { Failure } from "../auth/AuthScreen";
import { ChannelHeader } from "../chat/ChannelHeader";
import { useApp, useModel } from "../context";
import { Button } from "../parts/Button";
import type { MembersToggle } from "../Shell";
import { useLoaded } from "../settings/useLoaded";
import styles from "./ForumView.module.css";
import { PostDialog } from "./PostDialog";
import { TagPicker } from "./Tags";
import { ThreadRow } from "./ThreadsDialog";

interface Props {
  guildId: Id;
  channelId: Id;
  members: MembersToggle;
  onBack: () => void;
}

const NO_TAGS: readonly ForumTag[] = [];

/** A channel of posts: each one is a thread with a title. */
export function ForumView({ guildId, channelId, members, onBack }: Props) {
  const app = useApp();
  const active = useModel((model) => activeThreads(model.threads, channelId));
  const topic = useModel((model) => model.channels[channelId]?.topic ?? null);
  const mayPost = useModel((model) => mayInChannel(model, channelId, Permission.sendMessages));
  const { value, failure } = useLoaded(() => app.archivedThreads(channelId, null));
  const [isPosting, setPosting] = useState(false);
  const tags = useModel((model) => model.channels[channelId]?.available_tags ?? NO_TAGS);
  const [wanted, setWanted] = useState<readonly Id[]>([]);
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
        {tags.length > 0 && (
          <div className={styles.filter}>
            <TagPicker label="Show posts with" tags={tags} chosen={wanted} onChange={setWanted} />
          </div>
        )}
        <Failure text={failure} />
        {active.length === 0 && archived.length === 0 && value !== null && <p className={styles.topic}>Nobody has posted here yet.</p>}
        <Posts guildId={guildId} title="Active" threads={taggedPosts(active, wanted)} />
        <Posts guildId={guildId} title="Older" threads={taggedPosts(archived, wanted)} />
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
