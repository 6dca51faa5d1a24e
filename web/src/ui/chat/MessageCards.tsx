import type { Id, Message } from "../../api/types";
import { placeName } from "../../state/select";
import { useModel } from "../context";
import { formatTimestamp, fullTime } from "../time";
import { MessageBody } from "./MessageBody";
import styles from "./MessageCards.module.css";
import { authorName } from "./ReplyLine";

interface Props {
  guildId: Id | null;
  messages: readonly Message[];
  testId: string;
  onOpen: (message: Message) => void;
}

/** Messages outside of their history: pins, what a search found. */
export function MessageCards({ guildId, messages, testId, onOpen }: Props) {
  return (
    <ol className={styles.cards}>
      {messages.map((message) => (
        <li key={message.id} data-testid={testId}>
          <Head guildId={guildId} message={message} onOpen={() => onOpen(message)} />
          <MessageBody guildId={guildId} message={message} mayReact={false} />
        </li>
      ))}
    </ol>
  );
}

function Head({ guildId, message, onOpen }: { guildId: Id | null; message: Message; onOpen: () => void }) {
  const name = useModel((model) => authorName(model, guildId, message));
  const place = useModel((model) => (model.channels[message.channel_id] === undefined ? placeName(model, message.channel_id) : `#${placeName(model, message.channel_id)}`));
  const atMs = Date.parse(message.timestamp);
  return (
    <header>
      <strong>{name}</strong>
      <small>
        {place === "" ? "" : `${place} · `}
        <time dateTime={new Date(atMs).toISOString()} title={fullTime(atMs)}>
          {formatTimestamp(atMs, "s", atMs)}
        </time>
      </small>
      <button type="button" data-testid="message-open" onClick={onOpen}>
        Go there
      </button>
    </header>
  );
}
