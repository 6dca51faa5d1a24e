// A guild's member list as the server cuts it for this page: some windows of its lines, kept up to date by operations. Lines
// count group headings as well as members; a line that was never sent is a hole. Pure.

import type { Id, Member, MemberListUpdate } from "../api/types";
import { type Table, without } from "./model";

export type Line = { kind: "group"; id: string } | { kind: "member"; userId: Id };

export interface MemberList {
  /** Which list it is; channels that the same people may see share one. */
  id: string;
  groups: readonly { id: string; count: number }[];
  /** By place. May have holes. */
  lines: readonly (Line | undefined)[];
  /** How many lines there are, once a window that reaches the end was sent. */
  end: number | null;
}

export type MemberLists = Table<MemberList>;

/** What the gateway asks for is a part of at most this many lines. */
export const CHUNK = 100;

/** Guilds with more members than this do not list who is offline, as the API has it. */
const MAX_LISTED_OFFLINE = 1_000;

/** Applies an update. One of another list takes its place if it brings lines, and is late otherwise. */
export function updateList(lists: MemberLists, update: MemberListUpdate): MemberLists {
  const known = lists[update.guild_id];
  const isSame = known?.id === update.id;
  if (!isSame && !update.ops.some((op) => op.op === "SYNC")) return lists;
  const list = { lines: isSame ? [...known.lines] : [], end: isSame ? known.end : null };
  for (const op of update.ops) {
    if (op.op === "SYNC") {
      const [first, last] = op.range;
      op.items.forEach((item, at) => (list.lines[first + at] = line(item)));
      const end = first + op.items.length;
      if (end <= last) {
        list.lines.length = Math.min(list.lines.length, end);
        list.end = end;
      } else if (list.end !== null && list.end < end) {
        list.end = end;
      }
    } else if (op.op === "INVALIDATE") {
      for (let at = op.range[0]; at <= op.range[1] && at < list.lines.length; at += 1) delete list.lines[at];
    } else if (op.op === "DELETE") {
      list.lines.splice(op.index, 1);
      if (list.end !== null) list.end -= 1;
    } else if (op.op === "INSERT") {
      // A splice into holes beyond the end would put the line at the end.
      if (list.lines.length < op.index) list.lines.length = op.index;
      list.lines.splice(op.index, 0, line(op.item));
      if (list.end !== null) list.end += 1;
    } else {
      list.lines[op.index] = line(op.item);
    }
  }
  return { ...lists, [update.guild_id]: { id: update.id, groups: update.groups, ...list } };
}

/** The memberships that an update carries. */
export function membersIn(update: MemberListUpdate): (Member & { presence?: { status: string } })[] {
  const items = update.ops.flatMap((op) => (op.op === "SYNC" ? op.items : op.op === "INSERT" || op.op === "UPDATE" ? [op.item] : []));
  return items.flatMap((item) => (item.member === undefined ? [] : [item.member]));
}

export function forgetList(lists: MemberLists, guild: Id): MemberLists {
  return without(lists, guild);
}

function line(item: { group?: { id: string }; member?: Member }): Line {
  return item.member === undefined ? { kind: "group", id: item.group?.id ?? "" } : { kind: "member", userId: item.member.user.id };
}

/** How many lines to make room for: what is known, or what the groups say. */
export function lineCount(list: MemberList, memberCount: number): number {
  return list.end ?? list.groups.filter((group) => group.id !== "offline" || memberCount <= MAX_LISTED_OFFLINE).reduce((sum, group) => sum + group.count + 1, 0);
}

/** Those who are offline and not listed. */
export function unlistedOffline(list: MemberList, memberCount: number): number {
  return memberCount <= MAX_LISTED_OFFLINE ? 0 : (list.groups.find((group) => group.id === "offline")?.count ?? 0);
}

/** The parts to ask for, so that the lines from `first` to `last` are there. */
export function ranges(first: number, last: number): [number, number][] {
  const wanted: [number, number][] = [];
  for (let at = Math.floor(Math.max(0, first) / CHUNK); at <= Math.floor(Math.max(0, last) / CHUNK); at += 1) wanted.push([at * CHUNK, at * CHUNK + CHUNK - 1]);
  return wanted;
}
