// What an audit log entry says, in words.

import type { AuditLogEntry, Id } from "../../api/types";

const ACTIONS: Record<number, string> = {
  1: "changed the guild",
  10: "made a channel",
  11: "changed a channel",
  12: "deleted a channel",
  13: "gave a channel permissions of its own",
  14: "changed a channel's permissions",
  15: "took a channel's permissions away",
  20: "kicked",
  21: "removed inactive members",
  22: "banned",
  23: "unbanned",
  24: "changed the member",
  25: "changed the roles of",
  26: "moved people between voice channels",
  27: "disconnected people from voice",
  28: "brought in the bot",
  30: "made a role",
  31: "changed a role",
  32: "deleted a role",
  40: "made an invite",
  42: "deleted an invite",
  50: "made a webhook",
  51: "changed a webhook",
  52: "deleted a webhook",
  60: "added an emoji",
  61: "renamed an emoji",
  62: "deleted an emoji",
  72: "deleted messages of",
  73: "deleted many messages",
  74: "pinned a message of",
  75: "unpinned a message of",
  110: "started a thread",
  111: "changed a thread",
  112: "deleted a thread",
};

/** Actions that change what was there before. */
const CHANGES: ReadonlySet<number> = new Set([1, 11, 14, 24, 25, 31, 51, 61, 111]);

/** The sentence after the name of who did it. */
export function auditSentence(entry: AuditLogEntry, nameOf: (id: Id) => string | null): string {
  const target = entry.target_id === null ? null : nameOf(entry.target_id);
  const named = entry.changes?.find((change) => change.key === "name");
  const name = named === undefined ? null : String(named.new_value ?? named.old_value ?? "");
  // What is new has all its fields; only of what was changed they say something.
  const isChange = CHANGES.has(entry.action_type);
  const keys = (isChange ? (entry.changes ?? []) : []).map((change) => change.key.replace(/^\$/, "").replaceAll("_", " ")).filter((key) => key !== "name");
  return [ACTIONS[entry.action_type] ?? `did something (${entry.action_type})`, target, name === null ? null : `“${name}”`, keys.length > 0 ? `(${keys.slice(0, 4).join(", ")}${keys.length > 4 ? ", …" : ""})` : null]
    .filter((part) => part !== null)
    .join(" ");
}
