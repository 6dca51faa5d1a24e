// One channel's messages: a window of the newest (and as much older history as was scrolled to), plus what this page is
// still sending. Pure functions over plain data; messages are ordered by id and never twice.

import type { EmojiRef, Id, Message, Reaction, User } from "../api/types";
import { compareIds, isNewer } from "./snowflake";

/** Messages kept per channel. Beyond it the oldest are dropped and can be paged in again. */
export const MAX_KEPT = 800;
/** Deletions remembered, so that a history page that was on its way cannot bring a message back. */
const MAX_TOMBSTONES = 200;

export interface Pending {
  nonce: string;
  content: string;
  author: User;
  /** What it answers. */
  replyTo: Message | null;
  files: readonly File[];
  sentAtMs: number;
  /** `null` while it is on its way; else the sentence that says why it failed. */
  failure: string | null;
}

export interface Timeline {
  messages: readonly Message[];
  pending: readonly Pending[];
  tombstones: readonly Id[];
  /** Whether the server has older messages than the first one here. */
  hasOlder: boolean;
  load: "idle" | "loading" | "loaded" | "failed";
}

export const emptyTimeline: Timeline = { messages: [], pending: [], tombstones: [], hasOlder: true, load: "idle" };

/** Adds a message that was just created, and settles the pending one it came from. */
export function receive(timeline: Timeline, message: Message): Timeline {
  const pending = timeline.pending.filter((item) => item.nonce !== String(message.nonce ?? ""));
  const settled = pending.length === timeline.pending.length ? timeline : { ...timeline, pending };
  // A channel that was never opened starts with a page of history. While that page is on its way events are kept: it may
  // have been read before they happened.
  const isFollowed = settled.load === "loaded" || settled.load === "loading";
  if (!isFollowed || settled.tombstones.includes(message.id)) return settled;
  return trim({ ...settled, messages: insert(settled.messages, [message]) });
}

/** Merges a page of history, newest first as the API sends it. `before` is the cursor that was asked with. */
export function receivePage(timeline: Timeline, page: readonly Message[], before: Id | null, pageSize: number): Timeline {
  const alive = page.filter((message) => !timeline.tombstones.includes(message.id));
  const messages = insert(timeline.messages, alive);
  const reachesStart = page.length < pageSize;
  const hasOlder = before === null && timeline.load === "loaded" ? timeline.hasOlder : !reachesStart;
  return { ...timeline, messages, hasOlder, load: "loaded" };
}

export function edit(timeline: Timeline, change: Partial<Message> & { id: Id }): Timeline {
  const at = timeline.messages.findIndex((message) => message.id === change.id);
  const old = timeline.messages[at];
  if (old === undefined) return timeline;
  return { ...timeline, messages: timeline.messages.with(at, { ...old, ...change }) };
}

export const sameEmoji = (a: EmojiRef, b: EmojiRef): boolean => (a.id ?? a.name) === (b.id ?? b.name);

/** One more reaction with an emoji, or one less; `isMine`: by this user. */
export function react(timeline: Timeline, message: Id, emoji: EmojiRef, step: 1 | -1, isMine: boolean): Timeline {
  return editReactions(timeline, message, (reactions) => {
    const at = reactions.findIndex((reaction) => sameEmoji(reaction.emoji, emoji));
    const old = reactions[at];
    if (old === undefined) return step === 1 ? [...reactions, { emoji, count: 1, me: isMine }] : reactions;
    const changed = { ...old, count: old.count + step, me: isMine ? step === 1 : old.me };
    return changed.count > 0 ? reactions.with(at, changed) : reactions.toSpliced(at, 1);
  });
}

/** Takes all reactions away, or those with one emoji. */
export function clearReactions(timeline: Timeline, message: Id, emoji: EmojiRef | null): Timeline {
  return editReactions(timeline, message, (reactions) => (emoji === null ? [] : reactions.filter((reaction) => !sameEmoji(reaction.emoji, emoji))));
}

function editReactions(timeline: Timeline, id: Id, change: (reactions: Reaction[]) => Reaction[]): Timeline {
  const message = timeline.messages.find((other) => other.id === id);
  return message === undefined ? timeline : edit(timeline, { id, reactions: change(message.reactions ?? []) });
}

export function remove(timeline: Timeline, ids: readonly Id[]): Timeline {
  const messages = timeline.messages.filter((message) => !ids.includes(message.id));
  const tombstones = [...timeline.tombstones, ...ids].slice(-MAX_TOMBSTONES);
  return { ...timeline, messages, tombstones };
}

export function begin(timeline: Timeline, pending: Pending): Timeline {
  const others = timeline.pending.filter((item) => item.nonce !== pending.nonce);
  return { ...timeline, pending: [...others, pending] };
}

export function fail(timeline: Timeline, nonce: string, failure: string): Timeline {
  return { ...timeline, pending: timeline.pending.map((item) => (item.nonce === nonce ? { ...item, failure } : item)) };
}

export function discard(timeline: Timeline, nonce: string): Timeline {
  return { ...timeline, pending: timeline.pending.filter((item) => item.nonce !== nonce) };
}

function insert(into: readonly Message[], added: readonly Message[]): readonly Message[] {
  const last = into.at(-1);
  const [only] = added;
  if (only !== undefined && added.length === 1 && (last === undefined || isNewer(only.id, last.id))) return [...into, only];
  const known = new Set(into.map((message) => message.id));
  const fresh = added.filter((message) => !known.has(message.id));
  if (fresh.length === 0) return into;
  return [...into, ...fresh].toSorted((a, b) => compareIds(a.id, b.id));
}

function trim(timeline: Timeline): Timeline {
  if (timeline.messages.length <= MAX_KEPT) return timeline;
  return { ...timeline, messages: timeline.messages.slice(-MAX_KEPT), hasOlder: true };
}
