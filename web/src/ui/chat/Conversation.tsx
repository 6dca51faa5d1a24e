import { useEffect, useState } from "react";
import type { Id, Message } from "../../api/types";
import { emptyTimeline } from "../../state/timeline";
import { useApp, useModel } from "../context";
import styles from "./ChatView.module.css";
import { Composer } from "./Composer";
import { LiveRegion } from "./LiveRegion";
import { MessageList } from "./MessageList";
import { isSystem } from "./SystemLine";
import { TypingLine } from "./TypingLine";

/** The history of a channel, a thread or a conversation, what is being written in it, and the composer. */
export function Conversation({ guildId, channelId }: { guildId: Id | null; channelId: Id }) {
  const app = useApp();
  const timeline = useModel((model) => model.timelines[channelId] ?? emptyTimeline);
  const me = useModel((model) => model.me?.id ?? null);
  const [editing, setEditing] = useState<Id | null>(null);
  const [replyTo, setReplyTo] = useState<Message | null>(null);
  // An answer to what was deleted meanwhile would be an answer to nothing.
  const original = replyTo !== null && timeline.messages.some((message) => message.id === replyTo.id) ? replyTo : null;
  // Also when a new session emptied the timeline under an open channel.
  useEffect(() => {
    if (timeline.load === "idle") void app.loadTimeline(channelId);
  }, [app, channelId, timeline.load]);
  const editLast = () => {
    const own = timeline.messages.findLast((message: Message) => message.author.id === me && !isSystem(message));
    if (own !== undefined) setEditing(own.id);
  };
  return (
    <>
      <MessageList guildId={guildId} channelId={channelId} timeline={timeline} editing={editing} onEdit={setEditing} onReply={setReplyTo} />
      <LiveRegion guildId={guildId} channelId={channelId} />
      <div className={styles.foot}>
        <Composer guildId={guildId} channelId={channelId} replyTo={original} onReplyEnd={() => setReplyTo(null)} onEditLast={editLast} />
        <TypingLine guildId={guildId} channelId={channelId} />
      </div>
    </>
  );
}
