import { useState } from "react";
import { sentence } from "../../api/error";
import type { AuditLogEntry, Id, User } from "../../api/types";
import { Permission } from "../../state/permissions";
import { mayInGuild } from "../../state/select";
import { snowflakeMs } from "../../state/snowflake";
import { Failure } from "../auth/AuthScreen";
import { useApp, useModel } from "../context";
import { ConfirmDialog } from "../guild/dialogs";
import styles from "../guild/dialogs.module.css";
import { emojiUrl } from "../media";
import { Button, IconButton } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { GuildBanner } from "../parts/GuildBanner";
import { TrashIcon } from "../parts/icons";
import { useSubmit } from "../parts/useSubmit";
import { fullTime } from "../time";
import { auditSentence } from "./audit";
import { PICTURE_TYPES, readPicture } from "./picture";
import { Roles } from "./Roles";
import own from "./settings.module.css";
import { type Tab, Tabs } from "./Tabs";
import { useLoaded } from "./useLoaded";

/** What can be run in a guild, by those who may. */
export function GuildSettings({ guildId, onClose }: { guildId: Id; onClose: () => void }) {
  const may = useModel((model) => ({
    manage: mayInGuild(model, guildId, Permission.manageGuild),
    emojis: mayInGuild(model, guildId, Permission.manageExpressions),
    roles: mayInGuild(model, guildId, Permission.manageRoles),
    bans: mayInGuild(model, guildId, Permission.banMembers),
    log: mayInGuild(model, guildId, Permission.viewAuditLog),
  }));
  const tabs: Tab[] = [];
  if (may.manage) tabs.push({ id: "overview", title: "Overview", content: <Overview guildId={guildId} onClose={onClose} /> });
  if (may.emojis) tabs.push({ id: "emojis", title: "Emojis", content: <Emojis guildId={guildId} /> });
  if (may.roles) tabs.push({ id: "roles", title: "Roles", content: <Roles guildId={guildId} /> });
  if (may.bans) tabs.push({ id: "bans", title: "Bans", content: <Bans guildId={guildId} /> });
  if (may.log) tabs.push({ id: "log", title: "Audit log", content: <AuditLog guildId={guildId} /> });
  return (
    <Dialog isWide title="Guild settings" onClose={onClose}>
      <Tabs tabs={tabs} />
    </Dialog>
  );
}

export function mayRun(model: Parameters<typeof mayInGuild>[0], guildId: Id): boolean {
  return [Permission.manageGuild, Permission.manageRoles, Permission.manageExpressions, Permission.banMembers, Permission.viewAuditLog].some((bit) => mayInGuild(model, guildId, bit));
}

function Overview({ guildId, onClose }: { guildId: Id; onClose: () => void }) {
  const app = useApp();
  const guild = useModel((model) => model.guilds[guildId]);
  const isOwner = useModel((model) => model.guilds[guildId]?.owner_id === model.me?.id);
  const [name, setName] = useState(guild?.name ?? "");
  const [note, setNote] = useState<string | null>(null);
  const [isDeleting, setDeleting] = useState(false);
  const form = useSubmit(["name"], async () => {
    await app.guilds.updateGuild(guildId, { name: name.trim() });
    setNote("Saved.");
  });
  const changeIcon = async (icon: string | null | Promise<string>) => {
    try {
      await app.guilds.updateGuild(guildId, { icon: await icon });
      setNote("Saved.");
    } catch (error) {
      setNote(sentence(error));
    }
  };
  return (
    <form className={styles.form} onSubmit={form.onSubmit}>
      <div className={own.picture}>
        <GuildBanner id={guildId} name={guild?.name ?? ""} icon={guild?.icon ?? null} size={72} />
        <label className={own.choose}>
          Choose a picture
          <input type="file" accept={PICTURE_TYPES} data-testid="icon-file" onChange={(event) => event.target.files?.[0] !== undefined && void changeIcon(readPicture(event.target.files[0]))} />
        </label>
        {typeof guild?.icon === "string" && (
          <Button look="quiet" onClick={() => void changeIcon(null)}>
            Remove it
          </Button>
        )}
      </div>
      <Field label="Name" required minLength={2} maxLength={100} value={name} error={form.fields["name"]} data-testid="guild-name" onChange={(event) => setName(event.target.value)} />
      {note !== null && <p role="status">{note}</p>}
      <Failure text={form.failure} />
      <div className={own.inline}>
        <Button type="submit" disabled={form.isBusy} data-testid="guild-save">
          Save
        </Button>
        {isOwner && (
          <Button look="danger" onClick={() => setDeleting(true)}>
            Delete this guild
          </Button>
        )}
      </div>
      {isDeleting && (
        <ConfirmDialog
          title="Delete this guild?"
          text="Its channels and everything that was written in them are gone for ever."
          action="Delete"
          onConfirm={() => {
            app.guilds.deleteGuild(guildId).then(onClose, (error: unknown) => setNote(sentence(error)));
          }}
          onClose={() => setDeleting(false)}
        />
      )}
    </form>
  );
}

function Emojis({ guildId }: { guildId: Id }) {
  const app = useApp();
  const emojis = useModel((model) => model.guilds[guildId]?.emojis ?? []);
  const [name, setName] = useState("");
  const [file, setFile] = useState<File | null>(null);
  const form = useSubmit(["name", "image"], async () => {
    if (file === null) return;
    await app.guilds.createEmoji(guildId, name.trim(), await readPicture(file));
    setName("");
    setFile(null);
  });
  return (
    <>
      <form className={own.inline} onSubmit={form.onSubmit}>
        <Field label="Name" required minLength={2} maxLength={32} pattern="\w+" value={name} error={form.fields["name"]} data-testid="emoji-name" onChange={(event) => setName(event.target.value)} />
        <label className={own.choose}>
          {file?.name ?? "Choose a picture"}
          <input type="file" accept={PICTURE_TYPES} data-testid="emoji-file" onChange={(event) => setFile(event.target.files?.[0] ?? null)} />
        </label>
        <Button type="submit" disabled={form.isBusy || file === null} data-testid="emoji-save">
          Add
        </Button>
        <Failure text={form.fields["image"] ?? form.failure} />
      </form>
      {emojis.length === 0 && <p className={own.empty}>No emoji of your own yet. Square pictures look best.</p>}
      <ul className={own.rows}>
        {emojis.map((emoji) => (
          <li key={emoji.id} data-testid="guild-emoji">
            <img src={emojiUrl(emoji.id)} alt="" loading="lazy" />
            <span>:{emoji.name}:</span>
            <IconButton label={`Delete :${emoji.name}:`} onClick={() => void app.guilds.deleteEmoji(guildId, emoji.id).catch((error: unknown) => app.notify(sentence(error)))}>
              <TrashIcon size={18} />
            </IconButton>
          </li>
        ))}
      </ul>
    </>
  );
}

function Bans({ guildId }: { guildId: Id }) {
  const app = useApp();
  const { value, failure, reload } = useLoaded(() => app.guilds.bans(guildId));
  return (
    <>
      <Failure text={failure} />
      {value?.length === 0 && <p className={own.empty}>Nobody is banned.</p>}
      <ul className={own.rows}>
        {value?.map((ban) => (
          <li key={ban.user.id} data-testid="ban">
            <span>
              {ban.user.global_name ?? ban.user.username}
              <small>{ban.reason ?? "no reason was given"}</small>
            </span>
            <Button look="quiet" onClick={() => void app.guilds.unban(guildId, ban.user.id).then(reload, (error: unknown) => app.notify(sentence(error)))}>
              Unban
            </Button>
          </li>
        ))}
      </ul>
    </>
  );
}

function AuditLog({ guildId }: { guildId: Id }) {
  const app = useApp();
  const [older, setOlder] = useState<{ entries: readonly AuditLogEntry[]; users: readonly User[] }>({ entries: [], users: [] });
  const [isAtEnd, setAtEnd] = useState(false);
  const { value, failure } = useLoaded(() => app.guilds.auditLog(guildId, null));
  const entries = [...(value?.audit_log_entries ?? []), ...older.entries];
  const users = new Map([...(value?.users ?? []), ...older.users].map((user) => [user.id, user.global_name ?? user.username]));
  const last = entries.at(-1);
  const more = async () => {
    if (last === undefined) return;
    try {
      const page = await app.guilds.auditLog(guildId, last.id);
      setOlder({ entries: [...older.entries, ...page.audit_log_entries], users: [...older.users, ...page.users] });
      setAtEnd(page.audit_log_entries.length === 0);
    } catch (error) {
      app.notify(sentence(error));
    }
  };
  return (
    <>
      <Failure text={failure} />
      {value !== null && entries.length === 0 && <p className={own.empty}>Nothing was changed yet.</p>}
      <ol className={own.rows}>
        {entries.map((entry) => (
          <li key={entry.id} data-testid="audit-entry">
            <span>
              <span>
                <strong>{users.get(entry.user_id ?? "") ?? "Someone"}</strong> {auditSentence(entry, (id) => users.get(id) ?? null)}
              </span>
              <small>
                {fullTime(snowflakeMs(entry.id))}
                {entry.reason !== undefined && ` · ${entry.reason}`}
              </small>
            </span>
          </li>
        ))}
      </ol>
      {entries.length >= 50 && !isAtEnd && (
        <Button look="quiet" onClick={() => void more()}>
          Older
        </Button>
      )}
    </>
  );
}
