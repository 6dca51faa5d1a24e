// Message text into tokens: links, mentions and channel names; everything else stays text. No markup is interpreted and
// nothing becomes HTML.

import type { Id } from "../api/types";

export type Token =
  | { kind: "text"; text: string }
  | { kind: "link"; href: string }
  | { kind: "user"; id: Id }
  | { kind: "role"; id: Id }
  | { kind: "channel"; id: Id };

const PATTERN = /<@!?(?<user>\d{1,20})>|<@&(?<role>\d{1,20})>|<#(?<channel>\d{1,20})>|(?<link>https?:\/\/[^\s<>]+)/g;
/** A sentence's own punctuation after a link does not belong to it. */
const TRAILING = /[.,:;!?'")\]]+$/;

export function tokenize(content: string): Token[] {
  const tokens: Token[] = [];
  let from = 0;
  const text = (until: number) => {
    if (until > from) tokens.push({ kind: "text", text: content.slice(from, until) });
  };
  for (const match of content.matchAll(PATTERN)) {
    const { user, role, channel, link } = match.groups ?? {};
    text(match.index);
    from = match.index + match[0].length;
    if (user !== undefined) tokens.push({ kind: "user", id: user });
    else if (role !== undefined) tokens.push({ kind: "role", id: role });
    else if (channel !== undefined) tokens.push({ kind: "channel", id: channel });
    else if (link !== undefined) {
      const href = trimLink(link);
      if (URL.canParse(href)) {
        tokens.push({ kind: "link", href });
        from = match.index + href.length;
      } else {
        from = match.index;
      }
    }
  }
  text(content.length);
  return tokens;
}

function trimLink(link: string): string {
  const bare = link.replace(TRAILING, "");
  // A closing bracket stays when the link opened one: …/wiki/Rust_(language)
  return link.charAt(bare.length) === ")" && bare.split("(").length > bare.split(")").length ? `${bare})` : bare;
}
