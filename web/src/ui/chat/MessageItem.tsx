import { memo, useCallback, useState } from "react";
import type { Id, Message } from "../../api/types";
import { QUICK_EMOJIS } from "../../state/emojis";
import type { Pending } from "../../state/timeline";
import { useApp, useModel } from "../context";
import { ConfirmDialog } from "../guild/dialogs";
import { Avatar } from "../parts/Avatar";
import { IconButton } from "../parts/Button";
import { below, EmojiPicker, type Point } from "../parts/EmojiPicker";
import { PencilIcon, PinIcon, ReplyIcon, SmileIcon, ThreadIcon, TrashIcon } from "../parts/icons";
import { StartThreadDialog } from "../threads/StartThreadDialog";
import { ThreadCard } from "../threads/ThreadCard";
import { clockTime, fullTime } from "../time";
import { Editor } from "./Editor";
import { MessageBody } from "./MessageBody";
import styles from "./MessageItem.module.css";
import { authorName, ReplyLine } from "./ReplyLine";
import { isSystem, MessageType, systemSentence } from "./SystemLine";

interface Props {
  guildId: Id | null;
  message: Message;
  /** The first of a run by one author: it carries the face and the name. */
  isFirst: boolean;
  isOwn: boolean;
  /** The one that Tab reaches; arrow keys go on from it. */
  isNewest: boolean;
  mayDelete: boolean;
  mayReact: boolean;
  mayReply: boolean;
  mayPin: boolean;
  mayThread: boolean;
  isEditing: boolean;
  onEdit: (message: Id | null) => void;
  onReply: (message: Message) => void;
}

export const MessageItem = memo(function MessageItem(props: Props) {
  const { guildId, message, isFirst, isOwn, isNewest, mayDelete, mayReact, mayReply, mayPin, mayThread, isEditing, onEdit, onReply } = props;
  const app = useApp();
  const author = message.author;
  const name = useModel((model) => authorName(model, guildId, message));
  const isMentioned = useModel((model) => message.mentions.some((user) => user.id === model.me?.id));
  const [isDeleting, setDeleting] = useState(false);
  const [isStarting, setStarting] = useState(false);
  const hasThread = useModel((model) => model.threads[message.id] !== undefined || message.thread !== undefined);
  const [picking, setPicking] = useState<Point | null>(null);
  const stopPicking = useCallback(() => setPicking(null), []);
  const atMs = Date.parse(message.timestamp);
  if (message.type === MessageType.threadStarter && message.referenced_message !== undefined && message.referenced_message !== null) return <ThreadStart guildId={guildId} original={message.referenced_message} />;
  if (isSystem(message)) {
    return (
      <li className={styles.notice}>
        <strong>{name}</strong> {systemSentence(message)} <Time atMs={atMs} />
      </li>
    );
  }
  const canEdit = isOwn && !isEditing;
  return (
    <li className={styles.row} data-first={isFirst} data-mentioned={isMentioned} data-picking={picking !== null}>
      {message.referenced_message !== undefined && <ReplyLine guildId={guildId} original={message.referenced_message} />}
      {isFirst ? (
        <Avatar id={author.id} name={name} hash={author.avatar ?? null} size={40} />
      ) : (
        <span className={styles.gutter}>
          <Time atMs={atMs} />
        </span>
      )}
      <article
        // One stop for Tab in the whole list, so that the keyboard reaches the messages and their tools at all.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={isNewest ? 0 : -1}
        className={styles.body}
        aria-label={`${name}, ${clockTime(atMs)}`}
        data-testid="message"
        data-message={message.id}
        data-author={author.username}
      >
        {isFirst && (
          <header>
            <strong>{name}</strong>
            {author.bot === true && <span className={styles.bot}>Bot</span>}
            <Time atMs={atMs} />
          </header>
        )}
        {isEditing ? (
          <Editor
            guildId={guildId}
            content={message.content}
            onCancel={() => onEdit(null)}
            onSave={(content) => {
              onEdit(null);
              if (content === "") setDeleting(true);
              else if (content !== message.content) void app.edit(message, content);
            }}
          />
        ) : (
          <MessageBody guildId={guildId} message={message} mayReact={mayReact} />
        )}
        {guildId !== null && hasThread && <ThreadCard guildId={guildId} message={message} />}
      </article>
      {(canEdit || mayDelete || mayReact || mayReply || mayPin || mayThread) && !isEditing && (
        <div className={styles.tools}>
          {mayReact &&
            QUICK_EMOJIS.map((emoji) => (
              <IconButton key={emoji} className={styles.quick} label={`React with ${emoji}`} onClick={() => void app.toggleReaction(message, { id: null, name: emoji })}>
                {emoji}
              </IconButton>
            ))}
          {mayReact && (
            <IconButton label="React" data-testid="message-react" onClick={(event) => setPicking(below(event.currentTarget))}>
              <SmileIcon size={18} />
            </IconButton>
          )}
          {mayReply && (
            <IconButton label="Reply" data-testid="message-reply" onClick={() => onReply(message)}>
              <ReplyIcon size={18} />
            </IconButton>
          )}
          {guildId !== null && mayThread && !hasThread && (
            <IconButton label="Start a thread" data-testid="message-thread" onClick={() => setStarting(true)}>
              <ThreadIcon size={18} />
            </IconButton>
          )}
          {mayPin && (
            <IconButton label={message.pinned === true ? "Unpin" : "Pin"} isOn={message.pinned === true} data-testid="message-pin" onClick={() => void app.togglePin(message)}>
              <PinIcon size={18} />
            </IconButton>
          )}
          {canEdit && (
            <IconButton label="Edit message" data-testid="message-edit" onClick={() => onEdit(message.id)}>
              <PencilIcon size={18} />
            </IconButton>
          )}
          {mayDelete && (
            <IconButton label="Delete message" data-testid="message-delete" onClick={() => setDeleting(true)}>
              <TrashIcon size={18} />
            </IconButton>
          )}
        </div>
      )}
      {picking !== null && (
        <EmojiPicker
          guildId={guildId}
          at={picking}
          onPick={(emoji) => {
            stopPicking();
            void app.toggleReaction(message, emoji);
          }}
          onClose={stopPicking}
        />
      )}
      {isStarting && guildId !== null && <StartThreadDialog guildId={guildId} channelId={message.channel_id} from={message} onClose={() => setStarting(false)} />}
      {isDeleting && (
        <ConfirmDialog
          title="Delete this message?"
          text={message.content}
          action="Delete"
          onConfirm={() => void app.delete(message)}
          onClose={() => setDeleting(false)}
        />
      )}
    </li>
  );
});

/** What a thread was started from, as its first message. */
function ThreadStart({ guildId, original }: { guildId: Id | null; original: Message }) {
  const name = useModel((model) => authorName(model, guildId, original));
  return (
    <li className={styles.row} data-first="true">
      <Avatar id={original.author.id} name={name} hash={original.author.avatar ?? null} size={40} />
      <article className={styles.body} data-testid="thread-start-message">
        <header>
          <strong>{name}</strong>
          <Time atMs={Date.parse(original.timestamp)} />
        </header>
        <MessageBody guildId={guildId} message={original} mayReact={false} />
      </article>
    </li>
  );
}

/** A message that is on its way, or that failed and can be sent again. */
export function PendingItem({ channelId, pending, isFirst }: { channelId: Id; pending: Pending; isFirst: boolean }) {
  const app = useApp();
  const name = pending.author.global_name ?? pending.author.username;
  return (
    <li className={styles.row} data-first={isFirst} data-pending={pending.failure === null ? "sending" : "failed"} data-testid="message-pending">
      {isFirst ? <Avatar id={pending.author.id} name={name} hash={pending.author.avatar ?? null} size={40} /> : <span className={styles.gutter} />}
      <div className={styles.body}>
        {isFirst && (
          <header>
            <strong>{name}</strong>
            <Time atMs={pending.sentAtMs} />
          </header>
        )}
        <p className={styles.content}>{pending.content}</p>
        {pending.files.length > 0 && <p className={styles.sending}>{pending.files.map((file) => file.name).join(", ")}</p>}
        {pending.failure !== null && (
          <p className={styles.failure} role="alert">
            Not sent. {pending.failure}{" "}
            <button type="button" data-testid="message-retry" onClick={() => void app.sendAgain(channelId, pending)}>
              Send again
            </button>
            <button type="button" data-testid="message-discard" onClick={() => app.discard(channelId, pending.nonce)}>
              Discard
            </button>
          </p>
        )}
      </div>
    </li>
  );
}

function Time({ atMs }: { atMs: number }) {
  return (
    <time dateTime={new Date(atMs).toISOString()} title={fullTime(atMs)}>
      {clockTime(atMs)}
    </time>
  );
}
