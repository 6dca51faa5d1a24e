import type { Id, Message } from "../../api/types";
import { plainText } from "../../state/markdown";
import type { Model } from "../../state/model";
import { displayName, mentionName } from "../../state/select";
import { useModel } from "../context";
import { ReplyIcon } from "../parts/icons";
import styles from "./ReplyLine.module.css";

/** What a message answers, in one line above it; a press goes there if it is on the page. */
export function ReplyLine({ guildId, original }: { guildId: Id | null; original: Message | null }) {
  const name = useModel((model) => authorName(model, guildId, original));
  const text = useModel((model) => (original === null ? "" : summary(original, model, guildId)));
  if (original === null) {
    return (
      <p className={styles.reply}>
        <ReplyIcon size={14} /> <em>The original message was deleted.</em>
      </p>
    );
  }
  return (
    <button type="button" className={styles.reply} data-testid="reply-line" onClick={() => showMessage(original.id)}>
      <ReplyIcon size={14} />
      <strong>{name}</strong>
      <span>{text}</span>
    </button>
  );
}

type Names = Parameters<typeof displayName>[0];

export function authorName(model: Names, guildId: Id | null, message: Message | null): string {
  if (message === null) return "";
  const { author } = message;
  const isMember = message.webhook_id === undefined && model.users[author.id] !== undefined;
  return isMember ? displayName(model, guildId, author.id) : (author.global_name ?? author.username);
}

/** A message in one line. */
export function summary(message: Message, model: Model, guildId: Id | null): string {
  if (message.content !== "") return plainText(message.content, (kind, id) => mentionName(model, guildId, kind, id));
  if ((message.attachments?.length ?? 0) > 0) return message.attachments?.[0]?.filename ?? "a file";
  return message.embeds?.[0]?.title ?? message.embeds?.[0]?.description ?? "…";
}

function showMessage(id: Id): void {
  const article = document.querySelector<HTMLElement>(`article[data-message="${id}"]`);
  article?.scrollIntoView({ block: "center" });
  article?.focus();
}
