import { type ClipboardEvent, type DragEvent, type KeyboardEvent, useCallback, useEffect, useRef, useState } from "react";
import type { EmojiRef, Id, Message } from "../../api/types";
import type { CommandEntry } from "../../state/commands";
import { completionAt, encodeLabels, type Proposal, proposals } from "../../state/completion";
import { Permission } from "../../state/permissions";
import { mayInChannel, mayWrite, placeName } from "../../state/select";
import { useApp, useModel, useModelList } from "../context";
import { fileSize } from "../media";
import { IconButton } from "../parts/Button";
import { below, EmojiPicker, type Point } from "../parts/EmojiPicker";
import { ClipIcon, CloseIcon, SendIcon, SmileIcon } from "../parts/icons";
import { Completions } from "./Completions";
import { CommandForm, CommandList, useCommands } from "./Commands";
import styles from "./Composer.module.css";
import { COUNT_FROM, MAX_CONTENT, MAX_FILES } from "./limits";
import { authorName, summary } from "./ReplyLine";

/** Proposals below each other. */
const PROPOSED = 8;
/** A pause in writing before the gateway is asked for members. */
const ASK_MS = 200;

interface Props {
  guildId: Id | null;
  channelId: Id;
  /** The message that the next one answers. */
  replyTo: Message | null;
  onReplyEnd: () => void;
  onEditLast: () => void;
}

/**
 * Where one writes. Enter sends, Shift+Enter breaks the line, arrow up in an empty field changes the last own message.
 * Files come by the paper clip, by paste or by drop.
 */
export function Composer({ guildId, channelId, replyTo, onReplyEnd, onEditLast }: Props) {
  const app = useApp();
  const name = useModel((model) => (model.channels[channelId] === undefined ? placeName(model, channelId) : `#${placeName(model, channelId)}`));
  const maySend = useModel((model) => mayWrite(model, channelId));
  const mayAttach = useModel((model) => mayInChannel(model, channelId, Permission.attachFiles));
  const [text, setText] = useState(() => app.drafts.get(channelId) ?? "");
  const [files, setFiles] = useState<readonly File[]>([]);
  const [command, setCommand] = useState<CommandEntry | null>(null);
  const [active, setActive] = useState(0);
  const commands = useCommands(guildId, text.startsWith("/") && !text.includes("\n") ? text.slice(1) : null);
  const [caret, setCaret] = useState(0);
  const completion = completionAt(text, caret);
  const [isDismissed, setDismissed] = useState(false);
  const proposed = useModelList((model) => (completion === null || isDismissed ? [] : proposals(model, guildId, channelId, completion, PROPOSED)));
  // A large guild has members that this page does not know yet.
  const wanted = completion?.mark === "@" && completion.query !== "" ? completion.query : null;
  useEffect(() => {
    if (wanted === null || guildId === null) return undefined;
    const timer = setTimeout(() => app.findMembers(guildId, wanted), ASK_MS);
    return () => clearTimeout(timer);
  }, [app, guildId, wanted]);
  const [picking, setPicking] = useState<Point | null>(null);
  const stopPicking = useCallback(() => setPicking(null), []);
  const input = useRef<HTMLTextAreaElement>(null);
  const chooser = useRef<HTMLInputElement>(null);
  const replyId = replyTo?.id;
  useEffect(() => {
    if (replyId !== undefined) input.current?.focus();
  }, [replyId]);
  const write = (next: string) => {
    setText(next);
    setActive(0);
    if (next === "") app.drafts.delete(channelId);
    else app.drafts.set(channelId, next);
  };
  const attach = (added: FileList | null) => {
    if (added === null || added.length === 0 || !mayAttach) return;
    if (files.length + added.length > MAX_FILES) app.notify(`A message carries at most ${MAX_FILES} files.`);
    setFiles((old) => [...old, ...added].slice(0, MAX_FILES));
  };
  const send = () => {
    const content = text.trim();
    if (content === "" && files.length === 0) return;
    write("");
    setFiles([]);
    onReplyEnd();
    void app.send(channelId, encodeLabels(content, app.chosen.get(channelId) ?? new Map()), replyTo, files);
    app.chosen.delete(channelId);
  };
  const insert = (emoji: EmojiRef) => {
    const label = emoji.id === null ? (emoji.name ?? "") : `:${emoji.name ?? ""}:`;
    if (emoji.id !== null) stand(label, `<${emoji.animated === true ? "a" : ""}:${emoji.name ?? ""}:${emoji.id}>`);
    const at = input.current?.selectionStart ?? text.length;
    write(`${text.slice(0, at)}${label}${text.slice(at)}`);
    setPicking(null);
    input.current?.focus();
  };
  /** What a label in the field stands for when it is sent. */
  const stand = (label: string, wire: string) => app.chosen.set(channelId, new Map(app.chosen.get(channelId)).set(label, wire));
  const complete = (proposal: Proposal) => {
    if (completion === null) return;
    if (proposal.label !== proposal.wire) stand(proposal.label, proposal.wire);
    const before = `${text.slice(0, completion.from)}${proposal.label} `;
    write(before + text.slice(completion.to));
    setCaret(before.length);
    // The field moves its caret to the end of what is set; it belongs behind what was chosen.
    requestAnimationFrame(() => input.current?.setSelectionRange(before.length, before.length));
    input.current?.focus();
  };
  const choose = (entry: CommandEntry) => {
    write("");
    setCommand(entry);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes, Enter belongs to it.
    if (event.nativeEvent.isComposing) return;
    if (commands.length > 0 && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      setActive((active + (event.key === "ArrowDown" ? 1 : commands.length - 1)) % commands.length);
    } else if (commands[active] !== undefined && (event.key === "Enter" || event.key === "Tab")) {
      event.preventDefault();
      choose(commands[active]);
    } else if (proposed.length > 0 && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      setActive((active + (event.key === "ArrowDown" ? 1 : proposed.length - 1)) % proposed.length);
    } else if (proposed[active] !== undefined && ((event.key === "Enter" && !event.shiftKey) || event.key === "Tab")) {
      event.preventDefault();
      complete(proposed[active]);
    } else if (proposed.length > 0 && event.key === "Escape") {
      event.preventDefault();
      setDismissed(true);
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp" && text === "") {
      event.preventDefault();
      onEditLast();
    } else if (event.key === "Escape" && replyTo !== null) {
      onReplyEnd();
    }
  };
  const onPaste = (event: ClipboardEvent) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    attach(event.clipboardData.files);
  };
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    attach(event.dataTransfer.files);
  };
  if (!maySend) return <p className={styles.closed}>You may read here, but not write.</p>;
  if (command !== null && guildId !== null) return <CommandForm place={{ guildId, channelId }} entry={command} onClose={() => setCommand(null)} />;
  const left = MAX_CONTENT - text.length;
  return (
    // Dropping a file is one more way beside the button, not the only one.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <form
      className={styles.frame}
      onDragOver={(event) => event.preventDefault()}
      onDrop={onDrop}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {commands.length === 0 && proposed.length > 0 && <Completions proposals={proposed} active={active} onChoose={complete} />}
      {commands.length > 0 && <CommandList entries={commands} active={active} onChoose={choose} />}
      {replyTo !== null && <ReplyingTo guildId={guildId} message={replyTo} onEnd={onReplyEnd} />}
      {files.length > 0 && (
        <ul className={styles.files} aria-label="Files to send">
          {files.map((file, at) => (
            <li key={`${file.name}-${file.size}-${file.lastModified}`} data-testid="composer-file">
              <span>{file.name}</span> <small>{fileSize(file.size)}</small>
              <IconButton label={`Do not send ${file.name}`} onClick={() => setFiles(files.toSpliced(at, 1))}>
                <CloseIcon size={16} />
              </IconButton>
            </li>
          ))}
        </ul>
      )}
      <div className={styles.composer}>
        {mayAttach && (
          <>
            <input
              ref={chooser}
              type="file"
              multiple
              hidden
              data-testid="composer-attach"
              onChange={(event) => {
                attach(event.target.files);
                // The same file may be chosen again.
                event.target.value = "";
              }}
            />
            <IconButton label="Attach files" onClick={() => chooser.current?.click()}>
              <ClipIcon />
            </IconButton>
          </>
        )}
        <textarea
          ref={input}
          aria-label={`Message ${name}`}
          placeholder={`Message ${name}`}
          value={text}
          maxLength={MAX_CONTENT}
          rows={1}
          data-testid="composer"
          onChange={(event) => {
            write(event.target.value);
            setCaret(event.target.selectionStart);
            setDismissed(false);
            if (event.target.value.trim() !== "") app.typing(channelId);
          }}
          onKeyDown={onKeyDown}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
          onBlur={() => setDismissed(true)}
          onPaste={onPaste}
        />
        {text.length >= COUNT_FROM && <span className={styles.left}>{left}</span>}
        <IconButton label="Emoji" data-testid="composer-emoji" onClick={(event) => setPicking(below(event.currentTarget))}>
          <SmileIcon />
        </IconButton>
        <IconButton label="Send" className={styles.send} disabled={text.trim() === "" && files.length === 0} data-testid="composer-send" onClick={send}>
          <SendIcon />
        </IconButton>
      </div>
      {picking !== null && <EmojiPicker guildId={guildId} at={picking} onPick={insert} onClose={stopPicking} />}
    </form>
  );
}

function ReplyingTo({ guildId, message, onEnd }: { guildId: Id | null; message: Message; onEnd: () => void }) {
  const name = useModel((model) => authorName(model, guildId, message));
  const text = useModel((model) => summary(message, model, guildId));
  return (
    <p className={styles.reply} data-testid="replying-to">
      <span>
        Replying to <strong>{name}</strong>: {text}
      </span>
      <IconButton label="Do not reply" onClick={onEnd}>
        <CloseIcon size={16} />
      </IconButton>
    </p>
  );
}
