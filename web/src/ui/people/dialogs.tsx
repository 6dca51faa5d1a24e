// The small forms around conversations.

import { type FormEvent, useState } from "react";
import { type Id, type PrivateChannel, RelationshipType } from "../../api/types";
import { displayName } from "../../state/select";
import { Failure } from "../auth/AuthScreen";
import { useApp, useModel } from "../context";
import styles from "../guild/dialogs.module.css";
import { Avatar } from "../parts/Avatar";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { useSubmit } from "../parts/useSubmit";
import own from "./people.module.css";

interface Choice {
  chosen: readonly Id[];
  onChange: (chosen: readonly Id[]) => void;
  /** Who is not offered. */
  without: readonly Id[];
}

/** Friends to tick. */
function FriendChoice({ chosen, onChange, without }: Choice) {
  const friends = useModel((model) =>
    Object.values(model.relationships)
      .filter((relationship) => relationship.type === RelationshipType.friend && !without.includes(relationship.id))
      .map((relationship) => relationship.id),
  );
  const names = useModel((model) => friends.map((id) => displayName(model, null, id)));
  const hashes = useModel((model) => friends.map((id) => model.users[id]?.avatar ?? null));
  if (friends.length === 0) return <p>You have no friends to choose from yet.</p>;
  return (
    <ul className={own.choice}>
      {friends.map((id, at) => (
        <li key={id}>
          <label>
            <input
              type="checkbox"
              checked={chosen.includes(id)}
              data-testid={`choose-${names[at] ?? id}`}
              onChange={(event) => onChange(event.target.checked ? [...chosen, id] : chosen.filter((other) => other !== id))}
            />
            <Avatar id={id} name={names[at] ?? ""} hash={hashes[at] ?? null} size={28} />
            {names[at]}
          </label>
        </li>
      ))}
    </ul>
  );
}

const NOBODY: readonly Id[] = [];

export function NewConversationDialog({ onClose }: { onClose: () => void }) {
  const app = useApp();
  const [chosen, setChosen] = useState<readonly Id[]>([]);
  const form = useSubmit([], async () => {
    await app.startPrivate(chosen);
    onClose();
  });
  return (
    <Dialog title="New conversation" onClose={onClose}>
      <form className={styles.form} onSubmit={form.onSubmit}>
        <FriendChoice chosen={chosen} without={NOBODY} onChange={setChosen} />
        <Failure text={form.failure} />
        <Button type="submit" disabled={form.isBusy || chosen.length === 0} data-testid="conversation-start">
          {chosen.length > 1 ? "Open a group" : "Open"}
        </Button>
      </form>
    </Dialog>
  );
}

export function AddPeopleDialog({ channel, onClose }: { channel: PrivateChannel; onClose: () => void }) {
  const app = useApp();
  const [chosen, setChosen] = useState<readonly Id[]>([]);
  const form = useSubmit([], async () => {
    await Promise.all(chosen.map((user) => app.addRecipient(channel.id, user)));
    onClose();
  });
  return (
    <Dialog title="Add people" onClose={onClose}>
      <form className={styles.form} onSubmit={form.onSubmit}>
        <FriendChoice chosen={chosen} without={channel.recipients.map((user) => user.id)} onChange={setChosen} />
        <Failure text={form.failure} />
        <Button type="submit" disabled={form.isBusy || chosen.length === 0} data-testid="group-add-submit">
          Add
        </Button>
      </form>
    </Dialog>
  );
}

export function RenameDialog({ channel, onClose }: { channel: PrivateChannel; onClose: () => void }) {
  const app = useApp();
  const [name, setName] = useState(channel.name ?? "");
  const form = useSubmit(["name"], async () => {
    await app.renamePrivate(channel.id, name.trim());
    onClose();
  });
  return (
    <Dialog title="Rename the group" onClose={onClose}>
      <form className={styles.form} onSubmit={form.onSubmit}>
        <Field label="Name" maxLength={100} value={name} error={form.fields["name"]} data-testid="group-name" onChange={(event) => setName(event.target.value)} />
        <Failure text={form.failure} />
        <Button type="submit" disabled={form.isBusy} data-testid="group-rename-submit">
          Rename
        </Button>
      </form>
    </Dialog>
  );
}

/** Asks somebody to be a friend, by name. */
export function FriendRequestForm() {
  const app = useApp();
  const [name, setName] = useState("");
  const [sent, setSent] = useState<string | null>(null);
  const form = useSubmit(["username"], async () => {
    await app.requestFriend(name.trim().replace(/^@/, ""));
    setSent(name.trim());
    setName("");
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    setSent(null);
    form.onSubmit(event);
  };
  return (
    <form className={own.request} onSubmit={submit}>
      <Field
        label="Add a friend"
        placeholder="their user name"
        required
        maxLength={32}
        value={name}
        error={form.fields["username"]}
        hint={sent === null ? undefined : `${sent} was asked.`}
        data-testid="friend-name"
        onChange={(event) => setName(event.target.value)}
      />
      <Button type="submit" disabled={form.isBusy || name.trim() === ""} data-testid="friend-request">
        Ask
      </Button>
      <Failure text={form.failure} />
    </form>
  );
}
