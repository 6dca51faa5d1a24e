import type { Id, Message } from "../../api/types";
import { useModel } from "../context";
import { clockTime, dayName } from "../time";
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
  const channel = useModel((model) => model.channels[message.channel_id]?.name ?? "");
  const atMs = Date.parse(message.timestamp);
  return (
    <header>
      <strong>{name}</strong>
      <small>
        #{channel} · {dayName(atMs)} {clockTime(atMs)}
      </small>
      <button type="button" data-testid="message-open" onClick={onOpen}>
        Go there
      </button>
    </header>
  );
}
