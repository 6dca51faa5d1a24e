// What is proposed while one writes: members and roles after an @, channels after a #, emojis after a colon. The field keeps
// what people read (@Ada); what it stands for on the wire is put in its place when it is sent. Pure.

import { ChannelType, type Id } from "../api/types";
import { findEmojis } from "./emojis";
import type { Model } from "./model";
import { displayName, mentionName } from "./select";

export interface Completion {
  mark: "@" | "#" | ":";
  query: string;
  /** Where the mark stands, and where the query ends. */
  from: number;
  to: number;
}

export interface Proposal {
  key: string;
  /** As it is written in the field. */
  label: string;
  /** What it stands for. */
  wire: string;
  note: string;
  emoji?: { id: Id | null; name: string };
  userId?: Id;
}

/** A short colon is more often a smiley than the beginning of a name. */
const MIN_EMOJI = 2;

/** What is being written just before the caret, if it asks for proposals. */
export function completionAt(text: string, caret: number): Completion | null {
  const match = /(?:^|[\s(])([@#:])([\p{L}\p{N}_.-]*)$/u.exec(text.slice(0, caret));
  const [mark, query] = [match?.[1], match?.[2]];
  if (mark === undefined || query === undefined || (mark === ":" && query.length < MIN_EMOJI)) return null;
  return { mark: mark as Completion["mark"], query: query.toLowerCase(), from: caret - query.length - 1, to: caret };
}

export function proposals(model: Model, guildId: Id | null, channelId: Id, completion: Completion, limit: number): Proposal[] {
  const { mark, query } = completion;
  if (mark === ":") return emojiProposals(model, query).slice(0, limit);
  if (mark === "#") {
    return Object.values(model.channels)
      .filter((channel) => channel.guild_id === guildId && channel.type !== ChannelType.category && channel.name.toLowerCase().includes(query))
      .map((channel) => ({ key: channel.id, label: `#${channel.name}`, wire: `<#${channel.id}>`, note: channel.topic ?? "" }))
      .slice(0, limit);
  }
  const ids = guildId === null ? [...(model.privateChannels[channelId]?.recipients ?? []).map((user) => user.id), ...(model.me === null ? [] : [model.me.id])] : Object.keys(model.members[guildId] ?? {});
  const people: Proposal[] = [];
  for (const id of ids) {
    const [name, username] = [displayName(model, guildId, id), model.users[id]?.username ?? ""];
    if (!name.toLowerCase().includes(query) && !username.includes(query)) continue;
    people.push({ key: id, label: `@${name}`, wire: `<@${id}>`, note: username, userId: id });
    // Enough to choose the best of.
    if (people.length >= 10 * limit) break;
  }
  // Who begins with what was written comes before whom it is only in.
  const rank = (proposal: Proposal) => (proposal.label.slice(1).toLowerCase().startsWith(query) || proposal.note.startsWith(query) ? 0 : 1);
  people.sort((a, b) => rank(a) - rank(b) || a.label.localeCompare(b.label));
  const roles = (guildId === null ? [] : (model.guilds[guildId]?.roles ?? []))
    .filter((role) => role.id !== guildId && role.name.toLowerCase().includes(query))
    .map((role) => ({ key: role.id, label: `@${role.name}`, wire: `<@&${role.id}>`, note: "role" }));
  const all = guildId === null ? [] : ["everyone", "here"].filter((name) => name.startsWith(query) && query !== "").map((name) => ({ key: name, label: `@${name}`, wire: `@${name}`, note: name === "here" ? "all who are online" : "all members" }));
  return [...people.slice(0, limit - 2), ...roles, ...all].slice(0, limit);
}

function emojiProposals(model: Model, query: string): Proposal[] {
  const own = Object.values(model.guilds)
    .flatMap((guild) => guild.emojis ?? [])
    .filter((emoji) => emoji.name.toLowerCase().includes(query))
    .map((emoji) => ({ key: emoji.id, label: `:${emoji.name}:`, wire: `<${emoji.animated === true ? "a" : ""}:${emoji.name}:${emoji.id}>`, note: "", emoji: { id: emoji.id, name: emoji.name } }));
  const known = findEmojis(query)
    .flatMap((group) => group.emojis)
    // A word that begins so says more than one that has it inside.
    .toSorted((a, b) => Number(!hasWord(a.words, query)) - Number(!hasWord(b.words, query)))
    .map((emoji) => ({ key: emoji.text, label: emoji.text, wire: emoji.text, note: emoji.words, emoji: { id: null, name: emoji.text } }));
  return [...own, ...known];
}

function hasWord(words: string, query: string): boolean {
  return words.split(" ").some((word) => word.startsWith(query));
}

/** Puts what they stand for in the place of the labels that were chosen. */
export function encodeLabels(text: string, chosen: ReadonlyMap<string, string>): string {
  // The longest first: @Ada is also the beginning of @Ada Lovelace.
  const labels = [...chosen.keys()].toSorted((a, b) => b.length - a.length);
  if (labels.length === 0) return text;
  const escaped = labels.map((label) => label.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return text.replaceAll(new RegExp(`(${escaped.join("|")})(?![\\p{L}\\p{N}_])`, "gu"), (label) => chosen.get(label) ?? label);
}

const WIRE = /<(@!?|@&|#)(\d{1,20})>|<a?:(\w{2,32}):\d{1,20}>/g;

/** The other way, to change what was sent: labels for people, and what they stand for. A label that would stand for two stays as it is. */
export function decodeLabels(content: string, model: Model, guildId: Id | null): { text: string; chosen: ReadonlyMap<string, string> } {
  const chosen = new Map<string, string>();
  const text = content.replaceAll(WIRE, (wire: string, mark: string | undefined, id: string | undefined, emoji: string | undefined) => {
    const kind = mark === "#" ? "channel" : mark === "@&" ? "role" : "user";
    const label = mark === undefined || id === undefined ? `:${emoji ?? ""}:` : `${mark.slice(0, 1)}${mentionName(model, guildId, kind, id)}`;
    if ((chosen.get(label) ?? wire) !== wire) return wire;
    chosen.set(label, wire);
    return label;
  });
  return { text, chosen };
}
