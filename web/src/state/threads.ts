// The threads that this page knows: the active ones that it may see, and archived ones that were opened. Pure functions from
// one table to the next; the reducer calls them.

import { type Id, type Message, PINNED_POST, type Thread, type ThreadMember } from "../api/types";
import { type Table, without } from "./model";
import { compareIds } from "./snowflake";

export type Threads = Table<Thread>;

/** What the gateway tells of memberships, with the threads or beside them. */
export interface MembersChange {
  id: Id;
  member_count: number;
  added_members?: { user_id: Id; join_timestamp: string; flags: number }[];
  removed_member_ids?: Id[];
}

/** Adds or changes a thread. An update says nothing of one's own membership, which then stays as it was. */
export function putThread(threads: Threads, thread: Thread): Threads {
  const member = thread.member ?? threads[thread.id]?.member;
  return { ...threads, [thread.id]: member === undefined ? thread : { ...thread, member } };
}

/** All active threads of a guild at once, as its GUILD_CREATE has them. Archived ones that were opened stay. */
export function putGuildThreads(threads: Threads, guild: Id, found: readonly Thread[]): Threads {
  const kept = Object.entries(threads).filter(([, thread]) => thread.guild_id !== guild || thread.thread_metadata.archived);
  return { ...Object.fromEntries(kept), ...byId(found) };
}

/** The active threads of some channels; `null`: of all channels of the guild. */
export function syncThreads(threads: Threads, guild: Id, channels: readonly Id[] | null, found: readonly Thread[], own: readonly (ThreadMember & { id: Id })[]): Threads {
  const isSynced = (thread: Thread) => thread.guild_id === guild && !thread.thread_metadata.archived && (channels === null || channels.includes(thread.parent_id));
  const kept = Object.entries(threads).filter(([, thread]) => !isSynced(thread));
  const joined = found.map((thread) => {
    const member = own.find((membership) => membership.id === thread.id) ?? thread.member;
    return member === undefined ? thread : { ...thread, member };
  });
  return { ...Object.fromEntries(kept), ...byId(joined) };
}

export function changeMembers(threads: Threads, change: MembersChange, me: Id | null): Threads {
  const thread = threads[change.id];
  if (thread === undefined) return threads;
  const { member, ...bare } = thread;
  const added = change.added_members?.find((other) => other.user_id === me);
  const isGone = me !== null && change.removed_member_ids?.includes(me) === true;
  const own = added ?? (isGone ? undefined : member);
  return { ...threads, [change.id]: { ...bare, member_count: change.member_count, ...(own === undefined ? {} : { member: own }) } };
}

/** Without the threads of a channel that is gone, and the ids of these. */
export function forgetThreadsOf(threads: Threads, parent: Id): { threads: Threads; gone: readonly Id[] } {
  const gone = Object.values(threads).filter((thread) => thread.parent_id === parent).map((thread) => thread.id);
  return { threads: gone.reduce((table, id) => without(table, id), threads), gone };
}

/** The system message that stands for what the thread was started from. */
const THREAD_STARTER = 21;

/** One more message in it; the first one does not count. */
export function countMessage(threads: Threads, message: Message): Threads {
  const thread = threads[message.channel_id];
  if (thread === undefined) return threads;
  const isFirst = message.type === THREAD_STARTER || message.id === thread.id;
  return { ...threads, [thread.id]: { ...thread, last_message_id: message.id, message_count: thread.message_count + (isFirst ? 0 : 1) } };
}

/** Active threads of a channel, the one with the newest message first. */
export function activeThreads(threads: Threads, parent: Id): Thread[] {
  return Object.values(threads)
    .filter((thread) => thread.parent_id === parent && !thread.thread_metadata.archived)
    .toSorted((a, b) => compareIds(b.last_message_id ?? b.id, a.last_message_id ?? a.id));
}

export const isPinned = (post: Thread): boolean => (post.flags & PINNED_POST) !== 0;

/** Posts that bear one of the tags (any, if none is named), pinned ones first. */
export function taggedPosts(posts: readonly Thread[], tags: readonly Id[]): Thread[] {
  const found = tags.length === 0 ? posts : posts.filter((post) => post.applied_tags.some((tag) => tags.includes(tag)));
  return found.toSorted((a, b) => Number(isPinned(b)) - Number(isPinned(a)));
}

/** What stands below a channel in the sidebar: the active threads that one is in, and the one that is open. */
export function listedThreads(threads: Threads, parent: Id, open: Id | null): Thread[] {
  return Object.values(threads)
    .filter((thread) => thread.parent_id === parent && (thread.id === open || (thread.member !== undefined && !thread.thread_metadata.archived)))
    .toSorted((a, b) => compareIds(a.id, b.id));
}

function byId(threads: readonly Thread[]): Threads {
  return Object.fromEntries(threads.map((thread) => [thread.id, thread]));
}
