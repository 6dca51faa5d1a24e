import { type ReactNode, useEffect, useId, useRef } from "react";
import { IconButton } from "./Button";
import { CloseIcon } from "./icons";
import styles from "./Dialog.module.css";

interface Props {
  title: string;
  /** For what is read, not only filled in. */
  isWide?: boolean;
  onClose: () => void;
  children: ReactNode;
}

/** A modal on the platform's own dialog element: it holds the focus, closes on Escape and gives the focus back. */
export function Dialog({ title, isWide = false, onClose, children }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={element} className={styles.dialog} data-wide={isWide} aria-labelledby={titleId} onCancel={onClose}>
      <header>
        <h2 id={titleId}>{title}</h2>
        <IconButton label="Close" onClick={onClose}>
          <CloseIcon />
        </IconButton>
      </header>
      {children}
    </dialog>
  );
}
