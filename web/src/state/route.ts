// The address bar as a value, both ways. Unknown paths are home: a mistyped address is no error page.

import type { Id } from "../api/types";

export type Route = { name: "home" } | { name: "friends" } | { name: "private"; channelId: Id } | { name: "guild"; guildId: Id; channelId: Id | null; threadId: Id | null } | { name: "invite"; code: string };

export function parseRoute(path: string): Route {
  if (/^\/channels\/@me\/?$/.test(path)) return { name: "friends" };
  const conversation = /^\/channels\/@me\/(\d{1,20})\/?$/.exec(path);
  if (conversation?.[1] !== undefined) return { name: "private", channelId: conversation[1] };
  const guild = /^\/channels\/(\d{1,20})(?:\/(\d{1,20})(?:\/threads\/(\d{1,20}))?)?\/?$/.exec(path);
  if (guild?.[1] !== undefined) return { name: "guild", guildId: guild[1], channelId: guild[2] ?? null, threadId: guild[3] ?? null };
  const code = inviteCode(path);
  return code !== null && path.startsWith("/invite/") ? { name: "invite", code } : { name: "home" };
}

export function formatRoute(route: Route): string {
  if (route.name === "guild") return ["/channels", route.guildId, route.channelId, ...(route.threadId === null ? [] : ["threads", route.threadId])].filter((part) => part !== null).join("/");
  if (route.name === "friends") return "/channels/@me";
  if (route.name === "private") return `/channels/@me/${route.channelId}`;
  return route.name === "invite" ? `/invite/${route.code}` : "/";
}

/** The code in what a person pastes: a whole link, its path, or the bare code. */
export function inviteCode(pasted: string): string | null {
  const match = /^(?:(?:https?:\/\/[^/\s]+)?\/invite\/)?([\w-]{2,64})\/?$/.exec(pasted.trim());
  return match?.[1] ?? null;
}
