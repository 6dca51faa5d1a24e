import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import type { Id } from "../../api/types";
import { decodeLabels, encodeLabels } from "../../state/completion";
import { useApp } from "../context";
import { MAX_CONTENT } from "./limits";
import styles from "./Composer.module.css";

/** Changes a message in place: Enter saves, Escape leaves it as it was. */
export function Editor({ guildId, content, onSave, onCancel }: { guildId: Id | null; content: string; onSave: (content: string) => void; onCancel: () => void }) {
  const app = useApp();
  // Names as they were when the editing began: what they stand for is found back by them.
  const [{ text: written, chosen }] = useState(() => decodeLabels(content, app.store.getState(), guildId));
  const [text, setText] = useState(written);
  const save = () => onSave(encodeLabels(text.trim(), chosen));
  const input = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    input.current?.focus();
    input.current?.setSelectionRange(written.length, written.length);
  }, [written]);
  const onKeyDown = (event: KeyboardEvent) => {
    event.stopPropagation();
    if (event.key === "Escape") onCancel();
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      save();
    }
  };
  return (
    <div className={styles.editor}>
      <textarea
        ref={input}
        aria-label="Edit message"
        value={text}
        maxLength={MAX_CONTENT}
        rows={1}
        data-testid="message-editor"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <p>
        Escape to <button type="button" onClick={onCancel}>cancel</button>, Enter to{" "}
        <button type="button" onClick={save}>
          save
        </button>
      </p>
    </div>
  );
}
