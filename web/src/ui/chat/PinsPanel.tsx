import { useEffect, useState } from "react";
import type { Id, Message } from "../../api/types";
import { sentence } from "../../api/error";
import { useApp, useModel } from "../context";
import { Dialog } from "../parts/Dialog";
import { clockTime, dayName } from "../time";
import { MessageBody } from "./MessageBody";
import styles from "./PinsPanel.module.css";
import { authorName } from "./ReplyLine";

interface Props {
  guildId: Id;
  channelId: Id;
  onClose: () => void;
}

/** What is pinned in a channel, the last pinned first. */
export function PinsPanel({ guildId, channelId, onClose }: Props) {
  const app = useApp();
  const [pins, setPins] = useState<readonly Message[] | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  useEffect(() => {
    let isCurrent = true;
    app.pins(channelId).then(
      (found) => isCurrent && setPins(found),
      (error: unknown) => isCurrent && setFailure(sentence(error)),
    );
    return () => {
      isCurrent = false;
    };
  }, [app, channelId]);
  return (
    <Dialog title="Pinned messages" onClose={onClose}>
      {failure !== null && <p role="alert">{failure}</p>}
      {failure === null && pins === null && <p role="status">Looking…</p>}
      {pins?.length === 0 && <p>Nothing is pinned here.</p>}
      {pins !== null && <MessageCards guildId={guildId} messages={pins} testId="pin" />}
    </Dialog>
  );
}

/** Messages outside of their history: pins, what a search found. */
export function MessageCards({ guildId, messages, testId }: { guildId: Id; messages: readonly Message[]; testId: string }) {
  return (
    <ol className={styles.cards}>
      {messages.map((message) => (
        <li key={message.id} data-testid={testId}>
          <Head guildId={guildId} message={message} />
          <MessageBody guildId={guildId} message={message} mayReact={false} />
        </li>
      ))}
    </ol>
  );
}

function Head({ guildId, message }: { guildId: Id; message: Message }) {
  const name = useModel((model) => authorName(model, guildId, message));
  const channel = useModel((model) => model.channels[message.channel_id]?.name ?? "");
  const atMs = Date.parse(message.timestamp);
  return (
    <header>
      <strong>{name}</strong>
      <small>
        #{channel} · {dayName(atMs)} {clockTime(atMs)}
      </small>
    </header>
  );
}
