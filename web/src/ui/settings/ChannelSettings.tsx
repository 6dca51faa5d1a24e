import { useState } from "react";
import { sentence } from "../../api/error";
import { type Channel, ChannelType, type Id, type Overwrite } from "../../api/types";
import { Permission } from "../../state/permissions";
import { PERMISSION_GROUPS, type Tri, triOf, withTri } from "../../state/permissionNames";
import { displayName, mayInChannel } from "../../state/select";
import { Failure } from "../auth/AuthScreen";
import { useApp, useModel } from "../context";
import { ConfirmDialog } from "../guild/dialogs";
import dialogs from "../guild/dialogs.module.css";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import fields from "../parts/Field.module.css";
import { useSubmit } from "../parts/useSubmit";
import { ForumTags } from "./ForumTags";
import styles from "./Roles.module.css";
import own from "./settings.module.css";
import { type Tab, Tabs } from "./Tabs";

/** The pauses that slow mode knows here, in seconds. */
const PAUSES: readonly [string, number][] = [
  ["off", 0],
  ["5 seconds", 5],
  ["10 seconds", 10],
  ["30 seconds", 30],
  ["1 minute", 60],
  ["5 minutes", 300],
  ["1 hour", 3600],
  ["6 hours", 21_600],
];

/** One channel: what it is called, and who may do what in it. */
export function ChannelSettings({ channel, onClose }: { channel: Channel; onClose: () => void }) {
  const may = useModel((model) => ({ manage: mayInChannel(model, channel.id, Permission.manageChannels), roles: mayInChannel(model, channel.id, Permission.manageRoles) }));
  const tabs: Tab[] = [];
  if (may.manage) tabs.push({ id: "channel", title: "Overview", content: <Overview channel={channel} onClose={onClose} /> });
  if (may.manage && channel.type === ChannelType.forum) tabs.push({ id: "tags", title: "Tags", content: <ForumTags channel={channel} /> });
  if (may.roles) tabs.push({ id: "permissions", title: "Permissions", content: <Overwrites channel={channel} /> });
  return (
    <Dialog title={`#${channel.name}`} isWide onClose={onClose}>
      <Tabs tabs={tabs} />
    </Dialog>
  );
}

function Overview({ channel, onClose }: { channel: Channel; onClose: () => void }) {
  const app = useApp();
  const hasText = channel.type !== ChannelType.voice && channel.type !== ChannelType.stage && channel.type !== ChannelType.category;
  const [name, setName] = useState(channel.name);
  const [topic, setTopic] = useState(channel.topic ?? "");
  const [pause, setPause] = useState(channel.rate_limit_per_user ?? 0);
  const [isSaved, setSaved] = useState(false);
  const [isDeleting, setDeleting] = useState(false);
  const form = useSubmit(["name", "topic"], async () => {
    await app.guilds.updateChannel(channel.id, { name: name.trim(), ...(hasText ? { topic: topic.trim() === "" ? null : topic.trim(), rate_limit_per_user: pause } : {}) });
    setSaved(true);
  });
  return (
    <form className={dialogs.form} onSubmit={form.onSubmit}>
      <Field label="Name" required maxLength={100} value={name} error={form.fields["name"]} data-testid="channel-name" onChange={(event) => setName(event.target.value)} />
      {hasText && (
        <>
          <Field label="Topic" maxLength={1024} value={topic} error={form.fields["topic"]} data-testid="channel-topic" onChange={(event) => setTopic(event.target.value)} />
          <div className={fields.field}>
            <label htmlFor="slow-mode">Slow mode</label>
            <select id="slow-mode" value={pause} onChange={(event) => setPause(Number(event.target.value))}>
              {PAUSES.map(([label, seconds]) => (
                <option key={seconds} value={seconds}>
                  {label}
                </option>
              ))}
            </select>
            <p>How long each member waits between two messages.</p>
          </div>
        </>
      )}
      <Failure text={form.failure} />
      <div className={own.inline}>
        <Button type="submit" disabled={form.isBusy} data-testid="channel-save">
          Save
        </Button>
        <Button look="danger" data-testid="channel-delete" onClick={() => setDeleting(true)}>
          Delete the channel
        </Button>
        {isSaved && <span role="status">Saved.</span>}
      </div>
      {isDeleting && (
        <ConfirmDialog
          title={`Delete #${channel.name}?`}
          text="Everything that was written in it is gone for ever."
          action="Delete"
          onConfirm={() => void app.guilds.deleteChannel(channel.id).then(onClose, (error: unknown) => app.notify(sentence(error)))}
          onClose={() => setDeleting(false)}
        />
      )}
    </form>
  );
}

const CHOICES: readonly [Tri, string, string][] = [
  ["deny", "✕", "no"],
  ["inherit", "–", "as elsewhere"],
  ["allow", "✓", "yes"],
];

/** What a channel says otherwise, role by role and member by member. Each choice is saved at once. */
function Overwrites({ channel }: { channel: Channel }) {
  const app = useApp();
  const guildId = channel.guild_id;
  const roles = useModel((model) => (model.guilds[guildId]?.roles ?? []).toSorted((a, b) => b.position - a.position));
  const overwrites = useModel((model) => model.channels[channel.id]?.permission_overwrites ?? []);
  const names = useModel((model) => overwrites.map((overwrite) => (overwrite.type === 1 ? displayName(model, guildId, overwrite.id) : overwrite.id === guildId ? "Everyone" : (roles.find((role) => role.id === overwrite.id)?.name ?? "A role"))));
  const [chosen, choose] = useState<Id>(guildId);
  const [failure, setFailure] = useState<string | null>(null);
  const overwrite = overwrites.find((other) => other.id === chosen);
  const isVoice = channel.type === ChannelType.voice || channel.type === ChannelType.stage;
  const save = async (next: Omit<Overwrite, "id">) => {
    setFailure(null);
    try {
      await app.guilds.putOverwrite(channel.id, chosen, next);
    } catch (error) {
      setFailure(sentence(error));
    }
  };
  const unlisted = roles.filter((role) => role.id !== guildId && !overwrites.some((other) => other.id === role.id));
  const listed = overwrites.some((other) => other.id === guildId) ? overwrites.map((other, at) => ({ id: other.id, name: names[at] ?? "" })) : [{ id: guildId, name: "Everyone" }, ...overwrites.map((other, at) => ({ id: other.id, name: names[at] ?? "" }))];
  if (!listed.some((other) => other.id === chosen)) listed.push({ id: chosen, name: roles.find((role) => role.id === chosen)?.name ?? "" });
  return (
    <div className={styles.roles}>
      <div className={styles.list}>
        <ul>
          {listed.map((other) => (
            <li key={other.id}>
              <button type="button" aria-current={other.id === chosen} data-testid="overwrite" data-name={other.name} onClick={() => choose(other.id)}>
                <span>{other.name}</span>
              </button>
            </li>
          ))}
        </ul>
        {unlisted.length > 0 && (
          <select className={styles.add} aria-label="Say something of another role" value="" data-testid="overwrite-add" onChange={(event) => choose(event.target.value)}>
            <option value="" disabled>
              Another role…
            </option>
            {unlisted.map((role) => (
              <option key={role.id} value={role.id}>
                {role.name}
              </option>
            ))}
          </select>
        )}
      </div>
      <div className={styles.form}>
        <Failure text={failure} />
        {PERMISSION_GROUPS.map((group) => {
          const shown = group.permissions.filter((permission) => permission.channels === "all" || permission.channels === (isVoice ? "voice" : "text"));
          return (
            shown.length > 0 && (
              <fieldset key={group.title}>
                <legend>{group.title}</legend>
                {shown.map(({ bit, title }) => (
                  <div key={title} className={styles.tri}>
                    <span>{title}</span>
                    <div role="radiogroup" aria-label={title}>
                      {CHOICES.map(([tri, sign, meaning]) => (
                        <button
                          key={tri}
                          type="button"
                          role="radio"
                          aria-checked={triOf(overwrite, bit) === tri}
                          aria-label={meaning}
                          title={meaning}
                          data-tri={tri}
                          onClick={() => void save({ type: overwrite?.type ?? 0, ...withTri(overwrite, bit, tri) })}
                        >
                          {sign}
                        </button>
                      ))}
                    </div>
                  </div>
                ))}
              </fieldset>
            )
          );
        })}
        {overwrite !== undefined && (
          <div>
            <Button look="quiet" data-testid="overwrite-remove" onClick={() => void app.guilds.deleteOverwrite(channel.id, chosen).catch((error: unknown) => setFailure(sentence(error)))}>
              Forget all of this
            </Button>
          </div>
        )}
      </div>
    </div>
  );
}
