import { useEffect, useEffectEvent, useRef, useState } from "react";
import type { Id } from "../../api/types";
import { type Line, lineCount, ranges, unlistedOffline } from "../../state/memberList";
import { groupTitle, memberRow } from "../../state/select";
import { useApp, useModel } from "../context";
import { readableColor } from "../identity";
import { Avatar } from "../parts/Avatar";
import { CrownIcon } from "../parts/icons";
import { MemberDialog } from "./MemberDialog";
import styles from "./MemberList.module.css";

/** All lines are of one height, so that the place of each is known without it. */
const LINE_PX = 44;
/** Lines that are drawn above and below what is seen. */
const SPARE = 10;
/** Scrolling past does not ask for everything on the way. */
const REST_MS = 120;

/** Members with presence, by group. Only what is on the screen is asked for and drawn: a guild may have thousands. */
export function MemberList({ guildId, channelId }: { guildId: Id; channelId: Id }) {
  const app = useApp();
  const list = useModel((model) => model.memberLists[guildId] ?? null);
  const total = useModel((model) => model.guilds[guildId]?.memberCount ?? 0);
  const scroller = useRef<HTMLElement>(null);
  const [view, setView] = useState({ first: 0, last: Math.ceil(window.innerHeight / LINE_PX) });
  const [open, setOpen] = useState<Id | null>(null);
  const look = () => {
    const { scrollTop, clientHeight } = scroller.current ?? { scrollTop: 0, clientHeight: window.innerHeight };
    const [first, last] = [Math.floor(scrollTop / LINE_PX), Math.ceil((scrollTop + clientHeight) / LINE_PX)];
    setView((old) => (old.first === first && old.last === last ? old : { first, last }));
  };
  const onResize = useEffectEvent(look);
  useEffect(() => {
    const listener = () => onResize();
    window.addEventListener("resize", listener);
    return () => window.removeEventListener("resize", listener);
  }, []);
  const wanted = JSON.stringify(ranges(view.first - SPARE, view.last + SPARE));
  useEffect(() => {
    const timer = setTimeout(() => app.watchMembers(guildId, channelId, JSON.parse(wanted) as [number, number][]), REST_MS);
    return () => clearTimeout(timer);
  }, [app, guildId, channelId, wanted]);
  useEffect(() => () => app.unwatchMembers(), [app]);
  const count = list === null ? 0 : lineCount(list, total);
  const unlisted = list === null ? 0 : unlistedOffline(list, total);
  const first = Math.max(0, view.first - SPARE);
  const shown = Array.from({ length: Math.max(0, Math.min(count, view.last + SPARE) - first) }, (_, at) => first + at);
  return (
    <>
      <aside ref={scroller} className={styles.members} aria-label="Members" data-testid="members" onScroll={look}>
        {list === null && <p role="status">Looking who is here…</p>}
        <ul style={{ height: count * LINE_PX }}>
          {shown.map((at) => (
            <li key={at} className={styles.line} style={{ top: at * LINE_PX }} aria-setsize={count} aria-posinset={at + 1}>
              <ListLine guildId={guildId} line={list?.lines[at]} count={(id) => list?.groups.find((group) => group.id === id)?.count ?? 0} onOpen={setOpen} />
            </li>
          ))}
        </ul>
        {unlisted > 0 && <p>and {unlisted} who are offline</p>}
      </aside>
      {open !== null && <MemberDialog guildId={guildId} userId={open} onClose={() => setOpen(null)} />}
    </>
  );
}

function ListLine({ guildId, line, count, onOpen }: { guildId: Id; line: Line | undefined; count: (group: string) => number; onOpen: (user: Id) => void }) {
  if (line === undefined) return <span className={styles.hole} />;
  return line.kind === "group" ? <Heading guildId={guildId} group={line.id} count={count(line.id)} /> : <Row guildId={guildId} userId={line.userId} onOpen={() => onOpen(line.userId)} />;
}

function Heading({ guildId, group, count }: { guildId: Id; group: string; count: number }) {
  const title = useModel((model) => groupTitle(model, guildId, group));
  return (
    <h2 data-testid="member-group" data-count={count}>
      {title} <span>{count}</span>
    </h2>
  );
}

function Row({ guildId, userId, onOpen }: { guildId: Id; userId: Id; onOpen: () => void }) {
  const row = useModel((model) => memberRow(model, guildId, userId));
  const hash = useModel((model) => model.users[userId]?.avatar ?? null);
  return (
    <button type="button" className={styles.row} data-status={row.status} data-testid="member" data-name={row.name} onClick={onOpen}>
      <Avatar id={userId} name={row.name} hash={hash} size={32} status={row.status} />
      <span className={styles.name} style={row.color === 0 ? undefined : { color: readableColor(row.color) }}>
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
  );
}
