import { memo, useState } from "react";
import type { Id, Message } from "../../api/types";
import { displayName } from "../../state/select";
import type { Pending } from "../../state/timeline";
import { useApp, useModel } from "../context";
import { ConfirmDialog } from "../guild/dialogs";
import { Avatar } from "../parts/Avatar";
import { IconButton } from "../parts/Button";
import { PencilIcon, TrashIcon } from "../parts/icons";
import { clockTime, fullTime } from "../time";
import { Editor } from "./Editor";
import styles from "./MessageItem.module.css";
import { RichText } from "./RichText";

/** `type` of the notice that someone joined. */
const MEMBER_JOINED = 7;

interface Props {
  guildId: Id;
  message: Message;
  /** The first of a run by one author: it carries the face and the name. */
  isFirst: boolean;
  isOwn: boolean;
  /** The one that Tab reaches; arrow keys go on from it. */
  isNewest: boolean;
  mayDelete: boolean;
  isEditing: boolean;
  onEdit: (message: Id | null) => void;
}

export const MessageItem = memo(function MessageItem({ guildId, message, isFirst, isOwn, isNewest, mayDelete, isEditing, onEdit }: Props) {
  const app = useApp();
  const author = message.author;
  const name = useModel((model) => (model.users[author.id] === undefined ? (author.global_name ?? author.username) : displayName(model, guildId, author.id)));
  const isMentioned = useModel((model) => message.mentions.some((user) => user.id === model.me?.id));
  const [isDeleting, setDeleting] = useState(false);
  const atMs = Date.parse(message.timestamp);
  if (message.type === MEMBER_JOINED) {
    return (
      <li className={styles.notice}>
        <strong>{name}</strong> came into the hall. <Time atMs={atMs} />
      </li>
    );
  }
  const canEdit = isOwn && !isEditing;
  return (
    <li className={styles.row} data-first={isFirst} data-mentioned={isMentioned}>
      {isFirst ? (
        <Avatar id={author.id} name={name} size={40} />
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
            content={message.content}
            onCancel={() => onEdit(null)}
            onSave={(content) => {
              onEdit(null);
              if (content === "") setDeleting(true);
              else if (content !== message.content) void app.edit(message, content);
            }}
          />
        ) : (
          <p className={styles.content} data-testid="message-content">
            <RichText content={message.content} guildId={guildId} />
            {message.edited_timestamp !== null && (
              <small title={fullTime(Date.parse(message.edited_timestamp))} data-testid="message-edited">
                {" "}
                (edited)
              </small>
            )}
          </p>
        )}
      </article>
      {(canEdit || mayDelete) && !isEditing && (
        <div className={styles.tools}>
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

/** A message that is on its way, or that failed and can be sent again. */
export function PendingItem({ channelId, pending, isFirst }: { channelId: Id; pending: Pending; isFirst: boolean }) {
  const app = useApp();
  const name = pending.author.global_name ?? pending.author.username;
  return (
    <li className={styles.row} data-first={isFirst} data-pending={pending.failure === null ? "sending" : "failed"} data-testid="message-pending">
      {isFirst ? <Avatar id={pending.author.id} name={name} size={40} /> : <span className={styles.gutter} />}
      <div className={styles.body}>
        {isFirst && (
          <header>
            <strong>{name}</strong>
            <Time atMs={pending.sentAtMs} />
          </header>
        )}
        <p className={styles.content}>{pending.content}</p>
        {pending.failure !== null && (
          <p className={styles.failure} role="alert">
            Not sent. {pending.failure}{" "}
            <button type="button" data-testid="message-retry" onClick={() => void app.send(channelId, pending.content, pending.nonce)}>
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
