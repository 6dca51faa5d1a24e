import type { Id, Message } from "../../api/types";
import { fullTime } from "../time";
import { Attachments } from "./Attachments";
import { Components } from "./Components";
import { Embeds } from "./Embeds";
import styles from "./MessageItem.module.css";
import { Reactions } from "./Reactions";
import { RichText } from "./RichText";

/** What a message says and carries: text, files, embeds, and the reactions to it. */
export function MessageBody({ guildId, message, mayReact }: { guildId: Id | null; message: Message; mayReact: boolean }) {
  const { content, edited_timestamp, attachments = [], embeds = [], components = [], flags = 0 } = message;
  const forwarded = message.message_snapshots?.[0]?.message;
  return (
    <>
      <div className={styles.content} data-testid="message-content">
        {content !== "" && <RichText content={content} guildId={guildId} />}
        {edited_timestamp !== null && (
          <small title={fullTime(Date.parse(edited_timestamp))} data-testid="message-edited">
            (edited)
          </small>
        )}
      </div>
      {forwarded !== undefined && (
        <blockquote className={styles.forwarded}>
          <small>Forwarded</small>
          {forwarded.content !== undefined && <RichText content={forwarded.content} guildId={guildId} />}
          {forwarded.attachments !== undefined && <Attachments attachments={forwarded.attachments} />}
          {forwarded.embeds !== undefined && <Embeds embeds={forwarded.embeds} guildId={guildId} />}
        </blockquote>
      )}
      {attachments.length > 0 && <Attachments attachments={attachments} />}
      {(flags & SUPPRESS_EMBEDS) === 0 && <Embeds embeds={embeds} guildId={guildId} />}
      {components.length > 0 && <Components message={message} guildId={guildId} components={components} />}
      {(flags & EPHEMERAL) !== 0 && <p className={styles.sending}>Only you can see this.</p>}
      <Reactions message={message} mayJoin={mayReact} />
    </>
  );
}

const SUPPRESS_EMBEDS = 1 << 2;
const EPHEMERAL = 1 << 6;
