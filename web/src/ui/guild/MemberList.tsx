import { useState } from "react";
import type { Id } from "../../api/types";
import { type MemberRow, memberGroups } from "../../state/select";
import { useModel } from "../context";
import { Avatar } from "../parts/Avatar";
import { CrownIcon } from "../parts/icons";
import { MemberDialog } from "./MemberDialog";
import styles from "./MemberList.module.css";

/** Members with presence, grouped as roles ask for it. */
export function MemberList({ guildId }: { guildId: Id }) {
  const tables = useModel(({ guilds, members, users, presences }) => ({ guilds, members, users, presences }));
  const total = useModel((model) => model.guilds[guildId]?.memberCount ?? 0);
  const [open, setOpen] = useState<Id | null>(null);
  const groups = memberGroups(tables, guildId);
  const listed = groups.reduce((sum, group) => sum + group.rows.length, 0);
  return (
    <aside className={styles.members} aria-label="Members">
      {groups.map((group) => (
        <section key={group.id}>
          <h2>
            {group.title} <span>{group.rows.length}</span>
          </h2>
          <ul>
            {group.rows.map((row) => (
              <Row key={row.userId} row={row} onOpen={() => setOpen(row.userId)} />
            ))}
          </ul>
        </section>
      ))}
      {open !== null && <MemberDialog guildId={guildId} userId={open} onClose={() => setOpen(null)} />}
      {total > listed && <p>and {total - listed} more</p>}
    </aside>
  );
}

function Row({ row, onOpen }: { row: MemberRow; onOpen: () => void }) {
  const hash = useModel((model) => model.users[row.userId]?.avatar ?? null);
  return (
    <li data-status={row.status} data-testid="member">
      <button type="button" className={styles.row} data-status={row.status} onClick={onOpen}>
      <Avatar id={row.userId} name={row.name} hash={hash} size={32} status={row.status} />
      <span className={styles.name} style={row.color === 0 ? undefined : { color: `#${row.color.toString(16).padStart(6, "0")}` }}>
        {row.name}
      </span>
      <span className="visually-hidden">{row.status}</span>
      {row.isOwner && (
        <span className={styles.owner} title="Owner">
          <CrownIcon size={16} />
          <span className="visually-hidden">owner</span>
        </span>
      )}
      {row.isBot && <span className={styles.bot}>Bot</span>}
      </button>
    </li>
  );
}
