import { type InputHTMLAttributes, useId } from "react";
import styles from "./Field.module.css";

interface Props extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
}

/** A labelled input; its error is tied to it and read aloud with it. */
export function Field({ label, hint, error, ...input }: Props) {
  const id = useId();
  const noteId = `${id}-note`;
  const note = error ?? hint;
  return (
    <div className={styles.field} data-invalid={error !== undefined}>
      <label htmlFor={id}>{label}</label>
      <input {...input} id={id} aria-invalid={error !== undefined} aria-describedby={note === undefined ? undefined : noteId} />
      {note !== undefined && <p id={noteId}>{note}</p>}
    </div>
  );
}
