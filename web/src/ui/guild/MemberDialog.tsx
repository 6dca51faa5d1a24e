import { type FormEvent, useState } from "react";
import { sentence } from "../../api/error";
import { type Id, RelationshipType } from "../../api/types";
import { Permission } from "../../state/permissions";
import { displayName, mayInGuild } from "../../state/select";
import { useApp, useModel } from "../context";
import { Avatar } from "../parts/Avatar";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import styles from "./MemberDialog.module.css";

/** Lengths of a timeout, in minutes. */
const TIMEOUTS: readonly [string, number][] = [
  ["1 minute", 1],
  ["10 minutes", 10],
  ["1 hour", 60],
  ["1 day", 1440],
  ["1 week", 10_080],
  ["4 weeks", 40_320],
];
/** How much of what was written goes with a ban, in seconds. */
const DELETIONS: readonly [string, number][] = [
  ["nothing", 0],
  ["the last hour", 3600],
  ["the last day", 86_400],
  ["the last 7 days", 604_800],
];

/** One member: who it is, and what may be done with them. The server decides for itself on every request. */
export function MemberDialog({ guildId, userId, onClose }: { guildId: Id; userId: Id; onClose: () => void }) {
  const app = useApp();
  const name = useModel((model) => displayName(model, guildId, userId));
  const user = useModel((model) => model.users[userId]);
  const status = useModel((model) => model.presences[userId] ?? "offline");
  const isMe = useModel((model) => model.me?.id === userId);
  const isOwner = useModel((model) => model.guilds[guildId]?.owner_id === userId);
  const relationship = useModel((model) => model.relationships[userId]?.type ?? null);
  const roles = useModel((model) => (model.guilds[guildId]?.roles ?? []).filter((role) => role.id !== guildId).toSorted((a, b) => b.position - a.position));
  const held = useModel((model) => model.members[guildId]?.[userId]?.roles ?? []);
  const may = useModel((model) => ({
    kick: mayInGuild(model, guildId, Permission.kickMembers),
    ban: mayInGuild(model, guildId, Permission.banMembers),
    timeOut: mayInGuild(model, guildId, Permission.moderateMembers),
    roles: mayInGuild(model, guildId, Permission.manageRoles),
  }));
  const [reason, setReason] = useState("");
  const [minutes, setMinutes] = useState(10);
  const [deletion, setDeletion] = useState(0);
  const [failure, setFailure] = useState<string | null>(null);
  const attempt = async (request: () => Promise<unknown>, closes: boolean) => {
    setFailure(null);
    try {
      await request();
      if (closes) onClose();
    } catch (error) {
      setFailure(sentence(error));
    }
  };
  const moderates = !isMe && !isOwner && (may.kick || may.ban || may.timeOut);
  return (
    <Dialog title={name} onClose={onClose}>
      <div className={styles.member} data-testid="member-dialog">
        <div className={styles.face}>
          <Avatar id={userId} name={name} hash={user?.avatar ?? null} size={64} status={status} />
          <p>
            @{user?.username}
            {isOwner && <small> owner of this guild</small>}
          </p>
        </div>
        {!isMe && (
          <div className={styles.row}>
            <Button look="quiet" data-testid="member-write" onClick={() => void attempt(() => app.startPrivate([userId]), true)}>
              Write
            </Button>
            {relationship === null && user?.bot !== true && (
              <Button look="quiet" data-testid="member-befriend" onClick={() => void attempt(() => app.requestFriend(user?.username ?? ""), false)}>
                Add as a friend
              </Button>
            )}
            {relationship !== RelationshipType.blocked && (
              <Button look="quiet" onClick={() => void app.block(userId)}>
                Block
              </Button>
            )}
          </div>
        )}
        {(roles.length > 0 && (may.roles || held.length > 0)) && (
          <fieldset className={styles.roles} disabled={!may.roles}>
            <legend>Roles</legend>
            {roles.map((role) => (
              <label key={role.id}>
                <input type="checkbox" checked={held.includes(role.id)} onChange={(event) => void attempt(() => app.guilds.setRole(guildId, userId, role.id, event.target.checked), false)} />
                {role.name}
              </label>
            ))}
          </fieldset>
        )}
        {moderates && (
          <form className={styles.moderation} onSubmit={(event: FormEvent) => event.preventDefault()}>
            <Field label="Reason" hint="It is kept in the audit log." maxLength={512} value={reason} data-testid="moderation-reason" onChange={(event) => setReason(event.target.value)} />
            {may.timeOut && (
              <div className={styles.row}>
                <select aria-label="How long" value={minutes} onChange={(event) => setMinutes(Number(event.target.value))}>
                  {TIMEOUTS.map(([label, value]) => (
                    <option key={value} value={value}>
                      {label}
                    </option>
                  ))}
                </select>
                <Button look="quiet" data-testid="member-timeout" onClick={() => void attempt(() => app.guilds.timeOut(guildId, userId, new Date(Date.now() + minutes * 60_000).toISOString(), reason), true)}>
                  Time out
                </Button>
                <Button look="quiet" onClick={() => void attempt(() => app.guilds.timeOut(guildId, userId, null, reason), true)}>
                  End a timeout
                </Button>
              </div>
            )}
            <div className={styles.row}>
              {may.kick && (
                <Button look="danger" data-testid="member-kick" onClick={() => void attempt(() => app.guilds.kick(guildId, userId, reason), true)}>
                  Kick
                </Button>
              )}
              {may.ban && (
                <>
                  <select aria-label="What is deleted with a ban" value={deletion} onChange={(event) => setDeletion(Number(event.target.value))}>
                    {DELETIONS.map(([label, value]) => (
                      <option key={value} value={value}>
                        delete {label}
                      </option>
                    ))}
                  </select>
                  <Button look="danger" data-testid="member-ban" onClick={() => void attempt(() => app.guilds.ban(guildId, userId, deletion, reason), true)}>
                    Ban
                  </Button>
                </>
              )}
            </div>
          </form>
        )}
        {failure !== null && (
          <p role="alert" className={styles.failure}>
            {failure}
          </p>
        )}
      </div>
    </Dialog>
  );
}
