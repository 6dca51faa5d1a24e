// The permissions that can be given, with what they are called here. Bits are those of the API.

export interface PermissionName {
  bit: bigint;
  title: string;
  /** Where a channel may say otherwise. */
  channels: "all" | "text" | "voice" | "none";
}

function one(bit: number, title: string, channels: PermissionName["channels"] = "all"): PermissionName {
  return { bit: 1n << BigInt(bit), title, channels };
}

export const PERMISSION_GROUPS: readonly { title: string; permissions: readonly PermissionName[] }[] = [
  {
    title: "The guild",
    permissions: [
      one(10, "See channels"),
      one(4, "Manage channels"),
      one(28, "Manage roles"),
      one(30, "Manage emojis", "none"),
      one(7, "Read the audit log", "none"),
      one(29, "Manage webhooks"),
      one(5, "Manage the guild", "none"),
      one(3, "Administrator: everything, everywhere", "none"),
    ],
  },
  {
    title: "Members",
    permissions: [
      one(0, "Invite people"),
      one(26, "Change their own nickname", "none"),
      one(27, "Change nicknames of others", "none"),
      one(1, "Kick", "none"),
      one(2, "Ban", "none"),
      one(40, "Time out", "none"),
    ],
  },
  {
    title: "Text",
    permissions: [
      one(11, "Write messages", "text"),
      one(38, "Write in threads", "text"),
      one(35, "Start public threads", "text"),
      one(36, "Start private threads", "text"),
      one(14, "Show previews of links", "text"),
      one(15, "Attach files", "text"),
      one(6, "Add reactions", "text"),
      one(18, "Use emojis of other guilds", "text"),
      one(17, "Mention everyone and all roles", "text"),
      one(13, "Delete messages of others", "text"),
      one(51, "Pin messages", "text"),
      one(52, "Write without slow mode", "text"),
      one(34, "Manage threads", "text"),
      one(16, "Read what was written before", "text"),
      one(31, "Use commands of bots", "text"),
    ],
  },
  {
    title: "Voice",
    permissions: [
      one(20, "Join", "voice"),
      one(21, "Speak", "voice"),
      one(9, "Share video", "voice"),
      one(25, "Speak by voice activity", "voice"),
      one(8, "Priority speaker", "voice"),
      one(22, "Mute others", "voice"),
      one(23, "Deafen others", "voice"),
      one(24, "Move others", "voice"),
    ],
  },
];

export type Tri = "allow" | "inherit" | "deny";

/** What an overwrite says of one permission. */
export function triOf(overwrite: { allow: string; deny: string } | undefined, bit: bigint): Tri {
  if (overwrite === undefined) return "inherit";
  if ((BigInt(overwrite.allow) & bit) !== 0n) return "allow";
  return (BigInt(overwrite.deny) & bit) === 0n ? "inherit" : "deny";
}

/** An overwrite that says something else of one permission. */
export function withTri(overwrite: { allow: string; deny: string } | undefined, bit: bigint, tri: Tri): { allow: string; deny: string } {
  const allow = BigInt(overwrite?.allow ?? "0") & ~bit;
  const deny = BigInt(overwrite?.deny ?? "0") & ~bit;
  return { allow: String(tri === "allow" ? allow | bit : allow), deny: String(tri === "deny" ? deny | bit : deny) };
}

/** A set of permissions with one more, or one less. */
export function withBit(permissions: string, bit: bigint, isOn: boolean): string {
  return String(isOn ? BigInt(permissions) | bit : BigInt(permissions) & ~bit);
}
