// What this user may do, only to decide which controls to show: the server decides for itself on every request.
// The rules are those of the API's permission hierarchy: owner, administrator, role union, channel overwrites.

import type { Channel, Guild, Id, Overwrite } from "../api/types";

export const Permission = {
  createInvite: 1n << 0n,
  kickMembers: 1n << 1n,
  banMembers: 1n << 2n,
  administrator: 1n << 3n,
  manageChannels: 1n << 4n,
  manageGuild: 1n << 5n,
  addReactions: 1n << 6n,
  viewAuditLog: 1n << 7n,
  viewChannel: 1n << 10n,
  sendMessages: 1n << 11n,
  stream: 1n << 9n,
  manageMessages: 1n << 13n,
  attachFiles: 1n << 15n,
  readHistory: 1n << 16n,
  connect: 1n << 20n,
  manageRoles: 1n << 28n,
  manageExpressions: 1n << 30n,
  manageThreads: 1n << 34n,
  createPublicThreads: 1n << 35n,
  createPrivateThreads: 1n << 36n,
  sendInThreads: 1n << 38n,
  moderateMembers: 1n << 40n,
  pinMessages: 1n << 51n,
} as const;

const ALL = (1n << 64n) - 1n;

export function guildPermissions(guild: Guild, user: Id, roles: readonly Id[]): bigint {
  if (guild.owner_id === user) return ALL;
  let bits = 0n;
  for (const role of guild.roles) {
    if (role.id === guild.id || roles.includes(role.id)) bits |= BigInt(role.permissions);
  }
  return (bits & Permission.administrator) === 0n ? bits : ALL;
}

export function channelPermissions(guild: Guild, channel: Channel, user: Id, roles: readonly Id[]): bigint {
  const base = guildPermissions(guild, user, roles);
  if (base === ALL) return ALL;
  const overwrites = channel.permission_overwrites;
  const everyone = overwrites.filter((overwrite) => overwrite.id === guild.id);
  const ofRoles = overwrites.filter((overwrite) => overwrite.type === 0 && roles.includes(overwrite.id));
  const ofMember = overwrites.filter((overwrite) => overwrite.type === 1 && overwrite.id === user);
  return [everyone, ofRoles, ofMember].reduce(apply, base);
}

/** Overwrites of one rank act together: all denials, then all grants. */
function apply(bits: bigint, rank: readonly Overwrite[]): bigint {
  const deny = rank.reduce((sum, overwrite) => sum | BigInt(overwrite.deny), 0n);
  const allow = rank.reduce((sum, overwrite) => sum | BigInt(overwrite.allow), 0n);
  return (bits & ~deny) | allow;
}

/** In a thread its parent decides, with a right of its own to write. */
export function inThread(permission: bigint): bigint {
  return (permission & Permission.sendMessages) === 0n ? permission : (permission & ~Permission.sendMessages) | Permission.sendInThreads;
}

export function has(bits: bigint, permission: bigint): boolean {
  return (bits & permission) === permission;
}

/** What everyone may do in a private channel: all but deleting what others wrote. */
export const PRIVATE_PERMISSIONS = Permission.viewChannel | Permission.sendMessages | Permission.addReactions | Permission.attachFiles | Permission.readHistory | Permission.pinMessages;
