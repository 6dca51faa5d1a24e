import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { MAX_CONTENT } from "./limits";
import styles from "./Composer.module.css";

/** Changes a message in place: Enter saves, Escape leaves it as it was. */
export function Editor({ content, onSave, onCancel }: { content: string; onSave: (content: string) => void; onCancel: () => void }) {
  const [text, setText] = useState(content);
  const input = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    input.current?.focus();
    input.current?.setSelectionRange(content.length, content.length);
  }, [content]);
  const onKeyDown = (event: KeyboardEvent) => {
    event.stopPropagation();
    if (event.key === "Escape") onCancel();
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      onSave(text.trim());
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
        <button type="button" onClick={() => onSave(text.trim())}>
          save
        </button>
      </p>
    </div>
  );
}
