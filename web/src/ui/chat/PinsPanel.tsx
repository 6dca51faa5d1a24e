import { useEffect, useState } from "react";
import type { Id, Message } from "../../api/types";
import { sentence } from "../../api/error";
import { useApp } from "../context";
import { Dialog } from "../parts/Dialog";
import { MessageCards } from "./MessageCards";

interface Props {
  guildId: Id | null;
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
  const open = (message: Message) => {
    onClose();
    void app.showMessage(guildId, message);
  };
  return (
    <Dialog isWide title="Pinned messages" onClose={onClose}>
      {failure !== null && <p role="alert">{failure}</p>}
      {failure === null && pins === null && <p role="status">Looking…</p>}
      {pins?.length === 0 && <p>Nothing is pinned here.</p>}
      {pins !== null && <MessageCards guildId={guildId} messages={pins} testId="pin" onOpen={open} />}
    </Dialog>
  );
}
