// The small forms around guilds and channels.

import { useEffect, useState } from "react";
import { sentence } from "../../api/error";
import { ChannelType, type Id } from "../../api/types";
import { inviteCode } from "../../state/route";
import { Failure } from "../auth/AuthScreen";
import { useApp } from "../context";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { ChannelIcon } from "../parts/icons";
import { useSubmit } from "../parts/useSubmit";
import styles from "./dialogs.module.css";

export function CreateGuildDialog({ onClose }: { onClose: () => void }) {
  const app = useApp();
  const [name, setName] = useState("");
  const form = useSubmit(["name"], async () => {
    await app.createGuild(name.trim());
    onClose();
  });
  return (
    <Dialog title="Create a guild" onClose={onClose}>
      <form className={styles.form} onSubmit={form.onSubmit}>
        <Field
          label="Name"
          required
          minLength={2}
          maxLength={100}
          placeholder="The Clockmakers"
          value={name}
          error={form.fields["name"]}
          data-testid="guild-create-name"
          onChange={(event) => setName(event.target.value)}
        />
        <Failure text={form.failure} />
        <Button type="submit" disabled={form.isBusy} data-testid="guild-create-submit">
          Create guild
        </Button>
      </form>
    </Dialog>
  );
}

export function JoinGuildDialog({ onClose }: { onClose: () => void }) {
  const app = useApp();
  const [link, setLink] = useState("");
  const [problem, setProblem] = useState<string | undefined>();
  const submit = (event: React.FormEvent) => {
    event.preventDefault();
    const code = inviteCode(link);
    if (code === null) {
      setProblem("This is neither an invite link nor a code.");
      return;
    }
    onClose();
    app.go({ name: "invite", code });
  };
  return (
    <Dialog title="Join by invite" onClose={onClose}>
      <form className={styles.form} onSubmit={submit}>
        <Field
          label="Invite link or code"
          required
          placeholder={`${location.origin}/invite/…`}
          value={link}
          error={problem}
          data-testid="guild-join-code"
          onChange={(event) => setLink(event.target.value)}
        />
        <Button type="submit" data-testid="guild-join-submit">
          Look at it
        </Button>
      </form>
    </Dialog>
  );
}

const CHANNEL_KINDS = [
  { kind: ChannelType.text, id: "text", title: "Text", note: "Messages that stay" },
  { kind: ChannelType.voice, id: "voice", title: "Voice", note: "Talk together" },
  { kind: ChannelType.forum, id: "forum", title: "Forum", note: "Posts with a title" },
  { kind: ChannelType.announcement, id: "news", title: "News", note: "Announcements" },
] as const;

/** Without a category the channel goes where others of its kind are. */
export function CreateChannelDialog(props: { guildId: Id; kind: number; categoryId: Id | null; onClose: () => void }) {
  const { guildId, kind, categoryId, onClose } = props;
  const app = useApp();
  const [name, setName] = useState("");
  const [type, setType] = useState<number>(kind);
  const form = useSubmit(["name"], async () => {
    await app.createChannel(guildId, name.trim(), type, categoryId);
    onClose();
  });
  return (
    <Dialog title="New channel" onClose={onClose}>
      <form className={styles.form} onSubmit={form.onSubmit}>
        <fieldset className={styles.kinds}>
          <legend className="visually-hidden">Kind of channel</legend>
          {CHANNEL_KINDS.map(({ kind: value, id, title, note }) => (
            <label key={id}>
              <input type="radio" name="kind" checked={type === value} onChange={() => setType(value)} data-testid={`channel-create-${id}`} />
              <ChannelIcon type={value} size={20} />
              <span>
                {title}
                <small>{note}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <Field
          label="Name"
          required
          maxLength={100}
          placeholder={type === ChannelType.voice ? "Round table" : "workshop"}
          value={name}
          error={form.fields["name"]}
          data-testid="channel-create-name"
          onChange={(event) => setName(event.target.value)}
        />
        <Failure text={form.failure} />
        <Button type="submit" disabled={form.isBusy} data-testid="channel-create-submit">
          Create channel
        </Button>
      </form>
    </Dialog>
  );
}

/** Makes an invite as soon as it opens and shows the link. */
export function InviteDialog({ guildName, channelId, onClose }: { guildName: string; channelId: Id; onClose: () => void }) {
  const app = useApp();
  const [link, setLink] = useState<string | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    let isCurrent = true;
    app.createInvite(channelId).then(
      (invite) => isCurrent && setLink(`${location.origin}/invite/${invite.code}`),
      (error: unknown) => isCurrent && setFailure(sentence(error)),
    );
    return () => {
      isCurrent = false;
    };
  }, [app, channelId]);
  const copy = async () => {
    if (link === null) return;
    // The clipboard is closed to pages opened over plain HTTP; there the link is selected for the hand.
    const isDone = await navigator.clipboard?.writeText(link).then(
      () => true,
      () => false,
    );
    setCopied(isDone === true);
  };
  return (
    <Dialog title={`Invite to ${guildName}`} onClose={onClose}>
      <div className={styles.form}>
        <p className={styles.note}>Whoever opens this link can join. It is good for seven days.</p>
        <div className={styles.link}>
          <input
            readOnly
            aria-label="Invite link"
            value={link ?? "Making a link…"}
            data-testid="invite-link"
            data-ready={link !== null}
            onFocus={(event) => event.target.select()}
          />
          <Button disabled={link === null} onClick={() => void copy()} data-testid="invite-copy">
            {isCopied ? "Copied" : "Copy"}
          </Button>
        </div>
        <Failure text={failure} />
      </div>
    </Dialog>
  );
}

/** Asks once before something that cannot be undone. */
export function ConfirmDialog(props: { title: string; text: string; action: string; onConfirm: () => void; onClose: () => void }) {
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <div className={styles.form}>
        <p className={styles.note}>{props.text}</p>
        <div className={styles.choice}>
          <Button look="quiet" onClick={props.onClose}>
            Cancel
          </Button>
          <Button
            look="danger"
            data-testid="confirm"
            onClick={() => {
              props.onClose();
              props.onConfirm();
            }}
          >
            {props.action}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
