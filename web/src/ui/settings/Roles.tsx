import { useState } from "react";
import { sentence } from "../../api/error";
import type { Id, Role } from "../../api/types";
import { guildPermissions, has } from "../../state/permissions";
import { PERMISSION_GROUPS, withBit } from "../../state/permissionNames";
import { useApp, useModel } from "../context";
import { ConfirmDialog } from "../guild/dialogs";
import { Button, IconButton } from "../parts/Button";
import { Field } from "../parts/Field";
import { DownIcon, PlusIcon } from "../parts/icons";
import styles from "./Roles.module.css";

/** The roles of a guild, highest first, and the one that is being changed beside them. */
export function Roles({ guildId }: { guildId: Id }) {
  const app = useApp();
  const roles = useModel((model) => (model.guilds[guildId]?.roles ?? []).toSorted((a, b) => b.position - a.position));
  const [chosen, choose] = useState<Id>(guildId);
  const [failure, setFailure] = useState<string | null>(null);
  const role = roles.find((other) => other.id === chosen) ?? roles.at(-1);
  const attempt = async (request: () => Promise<unknown>) => {
    setFailure(null);
    try {
      await request();
    } catch (error) {
      setFailure(sentence(error));
    }
  };
  const create = () => attempt(async () => choose((await app.guilds.createRole(guildId, "New role")).id));
  const move = (by: 1 | -1) =>
    attempt(async () => {
      if (role !== undefined) await app.guilds.moveRole(guildId, role.id, role.position + by);
    });
  return (
    <div className={styles.roles}>
      <div className={styles.list}>
        <ul>
          {roles.map((other) => (
            <li key={other.id}>
              <button type="button" aria-current={other.id === role?.id} data-testid="role" data-name={other.name} onClick={() => choose(other.id)}>
                <i style={{ background: other.color === 0 ? "var(--text-3)" : colorText(other.color) }} />
                <span>{other.id === guildId ? "Everyone" : other.name}</span>
              </button>
            </li>
          ))}
        </ul>
        <Button look="quiet" data-testid="role-create" onClick={() => void create()}>
          <PlusIcon size={16} /> New role
        </Button>
      </div>
      <div className={styles.editor}>
        {failure !== null && (
          <p role="alert" className={styles.failure}>
            {failure}
          </p>
        )}
        {role !== undefined && <Editor key={role.id} guildId={guildId} role={role} onMove={(by) => void move(by)} onFailure={setFailure} />}
      </div>
    </div>
  );
}

function colorText(color: number): string {
  return `#${color.toString(16).padStart(6, "0")}`;
}

function Editor({ guildId, role, onMove, onFailure }: { guildId: Id; role: Role; onMove: (by: 1 | -1) => void; onFailure: (text: string | null) => void }) {
  const app = useApp();
  const isEveryone = role.id === guildId;
  // Nobody gives what they do not have.
  const own = useModel((model) => {
    const guild = model.guilds[guildId];
    return guild === undefined || model.me === null ? 0n : guildPermissions(guild, model.me.id, model.members[guildId]?.[model.me.id]?.roles ?? []);
  });
  const [name, setName] = useState(role.name);
  const [color, setColor] = useState(role.color);
  const [isHoisted, setHoisted] = useState(role.hoist);
  const [isMentionable, setMentionable] = useState(role.mentionable === true);
  const [permissions, setPermissions] = useState(role.permissions);
  const [isSaved, setSaved] = useState(false);
  const [isDeleting, setDeleting] = useState(false);
  const changed = <T,>(set: (value: T) => void) => (value: T) => {
    set(value);
    setSaved(false);
  };
  const save = async () => {
    onFailure(null);
    try {
      const face = isEveryone ? {} : { name: name.trim(), color, hoist: isHoisted, mentionable: isMentionable };
      await app.guilds.updateRole(guildId, role.id, { ...face, permissions });
      setSaved(true);
    } catch (error) {
      onFailure(sentence(error));
    }
  };
  return (
    <form
      className={styles.form}
      data-testid="role-editor"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      {isEveryone ? (
        <p className={styles.note}>What every member may do. Other roles add to it.</p>
      ) : (
        <>
          <div className={styles.face}>
            <Field label="Name" required maxLength={100} value={name} data-testid="role-name" onChange={(event) => changed(setName)(event.target.value)} />
            <label className={styles.color}>
              Colour
              <input type="color" value={colorText(color === 0 ? 0x9da2ab : color)} onChange={(event) => changed(setColor)(Number.parseInt(event.target.value.slice(1), 16))} />
            </label>
            <span className={styles.order}>
              <IconButton label="Move up" className={styles.up} onClick={() => onMove(1)}>
                <DownIcon size={18} />
              </IconButton>
              <IconButton label="Move down" onClick={() => onMove(-1)}>
                <DownIcon size={18} />
              </IconButton>
            </span>
          </div>
          <label className={styles.check}>
            <input type="checkbox" checked={isHoisted} onChange={(event) => changed(setHoisted)(event.target.checked)} />
            Its members have a group of their own in the member list
          </label>
          <label className={styles.check}>
            <input type="checkbox" checked={isMentionable} onChange={(event) => changed(setMentionable)(event.target.checked)} />
            Anyone may mention it
          </label>
        </>
      )}
      {PERMISSION_GROUPS.map((group) => (
        <fieldset key={group.title}>
          <legend>{group.title}</legend>
          {group.permissions.map(({ bit, title }) => (
            <label key={title} className={styles.check}>
              <input
                type="checkbox"
                checked={(BigInt(permissions) & bit) !== 0n}
                disabled={!has(own, bit)}
                onChange={(event) => changed(setPermissions)(withBit(permissions, bit, event.target.checked))}
              />
              {title}
            </label>
          ))}
        </fieldset>
      ))}
      <div className={styles.foot}>
        <Button type="submit" data-testid="role-save">
          Save
        </Button>
        {!isEveryone && role.managed !== true && (
          <Button look="danger" data-testid="role-delete" onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )}
        {isSaved && <span role="status">Saved.</span>}
      </div>
      {isDeleting && (
        <ConfirmDialog
          title={`Delete ${role.name}?`}
          text="Whoever has it loses it."
          action="Delete"
          onConfirm={() => void app.guilds.deleteRole(guildId, role.id).catch((error: unknown) => onFailure(sentence(error)))}
          onClose={() => setDeleting(false)}
        />
      )}
    </form>
  );
}
