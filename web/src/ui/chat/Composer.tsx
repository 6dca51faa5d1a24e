import { type KeyboardEvent, useState } from "react";
import type { Id } from "../../api/types";
import { Permission } from "../../state/permissions";
import { mayInChannel } from "../../state/select";
import { useApp, useModel } from "../context";
import { IconButton } from "../parts/Button";
import { SendIcon } from "../parts/icons";
import styles from "./Composer.module.css";
import { COUNT_FROM, MAX_CONTENT } from "./limits";

/** Where one writes. Enter sends, Shift+Enter breaks the line, arrow up in an empty field changes the last own message. */
export function Composer({ channelId, onEditLast }: { channelId: Id; onEditLast: () => void }) {
  const app = useApp();
  const channelName = useModel((model) => model.channels[channelId]?.name ?? "");
  const maySend = useModel((model) => mayInChannel(model, channelId, Permission.sendMessages));
  const [text, setText] = useState(() => app.drafts.get(channelId) ?? "");
  const write = (next: string) => {
    setText(next);
    if (next === "") app.drafts.delete(channelId);
    else app.drafts.set(channelId, next);
  };
  const send = () => {
    const content = text.trim();
    if (content === "") return;
    write("");
    void app.send(channelId, content);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes, Enter belongs to it.
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp" && text === "") {
      event.preventDefault();
      onEditLast();
    }
  };
  if (!maySend) return <p className={styles.closed}>You may read here, but not write.</p>;
  const left = MAX_CONTENT - text.length;
  return (
    <form
      className={styles.composer}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        aria-label={`Message #${channelName}`}
        placeholder={`Message #${channelName}`}
        value={text}
        maxLength={MAX_CONTENT}
        rows={1}
        data-testid="composer"
        onChange={(event) => {
          write(event.target.value);
          if (event.target.value.trim() !== "") app.typing(channelId);
        }}
        onKeyDown={onKeyDown}
      />
      {text.length >= COUNT_FROM && <span className={styles.left}>{left}</span>}
      <IconButton label="Send" className={styles.send} disabled={text.trim() === ""} data-testid="composer-send" onClick={send}>
        <SendIcon />
      </IconButton>
    </form>
  );
}
