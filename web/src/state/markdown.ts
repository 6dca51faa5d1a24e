// Message text into a tree: the markup that people know, links, mentions, emojis and times. Nothing becomes HTML, and what
// is no markup stays text: no character of a message is lost by being misread.

import type { Id } from "../api/types";

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "strong" | "em" | "underline" | "strike" | "spoiler"; children: Inline[] }
  | { kind: "code"; text: string }
  | { kind: "link"; href: string; children: Inline[] }
  | { kind: "user" | "role" | "channel"; id: Id }
  | { kind: "everyone"; text: string }
  | { kind: "emoji"; id: Id; name: string; isAnimated: boolean }
  | { kind: "time"; atMs: number; style: string };

export type Block =
  | { kind: "paragraph"; children: Inline[] }
  | { kind: "heading"; level: 1 | 2 | 3; children: Inline[] }
  | { kind: "subtext"; children: Inline[] }
  | { kind: "list"; start: number | null; items: Inline[][] }
  | { kind: "quote"; children: Block[] }
  | { kind: "code"; language: string; text: string };

/** Markup inside markup inside … deeper than this is text: a message of nothing but asterisks costs nothing. */
const MAX_DEPTH = 8;

const FENCE = /```(?:([\w+#.-]{1,20})\n)?\n?([\s\S]+?)\n?```/g;

/** A message's blocks, in order. */
export function parse(content: string): Block[] {
  const blocks: Block[] = [];
  let from = 0;
  for (const match of content.matchAll(FENCE)) {
    blocks.push(...parseLines(content.slice(from, match.index)));
    blocks.push({ kind: "code", language: match[1] ?? "", text: match[2] ?? "" });
    from = match.index + match[0].length;
  }
  blocks.push(...parseLines(content.slice(from)));
  return blocks;
}

const HEADING = /^(#{1,3}) +(\S.*)$/;
const SUBTEXT = /^-# +(\S.*)$/;
const QUOTE = /^> ?(.*)$/;
const BULLET = /^ {0,4}[-*] +(\S.*)$/;
const NUMBER = /^ {0,4}(\d{1,9})\. +(\S.*)$/;

function parseLines(text: string): Block[] {
  // The line breaks next to a code block are its own.
  const trimmed = text.replace(/^\n|\n$/g, "");
  if (trimmed === "") return [];
  const blocks: Block[] = [];
  const lines = trimmed.split("\n");
  let paragraph: string[] = [];
  const flush = () => {
    if (paragraph.length > 0) blocks.push({ kind: "paragraph", children: parseInline(paragraph.join("\n")) });
    paragraph = [];
  };
  const put = (block: Block) => {
    flush();
    blocks.push(block);
  };
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    const rest = lines.slice(at).join("\n");
    if (rest.startsWith(">>> ")) {
      put({ kind: "quote", children: parseLines(rest.slice(4)) });
      return blocks;
    }
    const heading = HEADING.exec(line);
    const bullet = BULLET.exec(line);
    const number = NUMBER.exec(line);
    const last = blocks.at(-1);
    if (heading?.[1] !== undefined) {
      put({ kind: "heading", level: heading[1].length as 1 | 2 | 3, children: parseInline(heading[2] ?? "") });
    } else if (SUBTEXT.test(line)) {
      put({ kind: "subtext", children: parseInline(SUBTEXT.exec(line)?.[1] ?? "") });
    } else if (bullet !== null || number !== null) {
      const item = parseInline(bullet?.[1] ?? number?.[2] ?? "");
      const start = number === null ? null : Number(number[1]);
      // Items of one kind that follow each other are one list.
      if (paragraph.length === 0 && last?.kind === "list" && (last.start === null) === (start === null)) last.items.push(item);
      else put({ kind: "list", start, items: [item] });
    } else if (line.startsWith("> ")) {
      const quoted: string[] = [];
      for (; at < lines.length && (lines[at] ?? "").startsWith(">"); at += 1) quoted.push(QUOTE.exec(lines[at] ?? "")?.[1] ?? "");
      at -= 1;
      put({ kind: "quote", children: parseLines(quoted.join("\n")) });
    } else {
      paragraph.push(line);
    }
  }
  flush();
  return blocks;
}

const MENTION = /^<(?:@!?(?<user>\d{1,20})|@&(?<role>\d{1,20})|#(?<channel>\d{1,20})|(?<animated>a?):(?<name>\w{2,32}):(?<emoji>\d{1,20})|t:(?<at>-?\d{1,13})(?::(?<style>[tTdDfFsSR]))?)>/;
const LINK = /^https?:\/\/[^\s<>]+/;
const HIDDEN_LINK = /^<(https?:\/\/[^\s<>]+)>/;
const NAMED_LINK = /^\[([^\]\n]{1,200})\]\(<?(https?:\/\/[^\s<>)]+)>?\)/;
const CODE = /^(`{1,2})([^`][\s\S]*?[^`]|[^`])\1(?!`)/;
/** A sentence's own punctuation after a link does not belong to it. */
const TRAILING = /[.,:;!?'")\]*_~|]+$/;

const SPANS = [
  { mark: "**", kind: "strong" },
  { mark: "__", kind: "underline" },
  { mark: "~~", kind: "strike" },
  { mark: "||", kind: "spoiler" },
  { mark: "*", kind: "em" },
  { mark: "_", kind: "em" },
] as const;

/** One run of text with its markup. */
export function parseInline(text: string, depth = 0): Inline[] {
  const out: Inline[] = [];
  let plain = "";
  const put = (token: Inline) => {
    if (plain !== "") out.push({ kind: "text", text: plain });
    plain = "";
    out.push(token);
  };
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at);
    const found = depth < MAX_DEPTH ? readToken(rest, text[at - 1] ?? "", depth) : null;
    if (found === null) {
      // An escaped mark is that character.
      const isEscape = rest.startsWith("\\") && /^[\\*_~|`<>[\]#@-]/.test(rest.slice(1));
      plain += isEscape ? (rest[1] ?? "") : (rest[0] ?? "");
      at += isEscape ? 2 : 1;
    } else {
      put(found.token);
      at += found.length;
    }
  }
  if (plain !== "") out.push({ kind: "text", text: plain });
  return out;
}

function readToken(rest: string, before: string, depth: number): { token: Inline; length: number } | null {
  switch (rest[0]) {
    case "<":
      return readAngle(rest);
    case "h":
      return readLink(rest);
    case "@": {
      const everyone = /^@(?:everyone|here)\b/.exec(rest);
      return everyone === null ? null : { token: { kind: "everyone", text: everyone[0] }, length: everyone[0].length };
    }
    case "`": {
      const code = CODE.exec(rest);
      return code === null ? null : { token: { kind: "code", text: code[2] ?? "" }, length: code[0].length };
    }
    case "[": {
      const named = NAMED_LINK.exec(rest);
      if (named?.[2] === undefined || !URL.canParse(named[2])) return null;
      return { token: { kind: "link", href: named[2], children: [{ kind: "text", text: named[1] ?? "" }] }, length: named[0].length };
    }
    case "*":
    case "_":
    case "~":
    case "|":
      return readSpan(rest, before, depth);
    default:
      return null;
  }
}

function readSpan(rest: string, before: string, depth: number): { token: Inline; length: number } | null {
  for (const { mark, kind } of SPANS) {
    if (!rest.startsWith(mark)) continue;
    // snake_case_names are no emphasis.
    if (mark === "_" && /\w/.test(before)) return null;
    const inside = spanBody(rest, mark);
    if (inside !== null) return { token: { kind, children: parseInline(inside, depth + 1) }, length: inside.length + 2 * mark.length };
  }
  return null;
}

/** What stands between a mark and its twin; `null` if there is none, or nothing in between. */
function spanBody(rest: string, mark: string): string | null {
  let from = mark.length;
  for (;;) {
    const end = rest.indexOf(mark, from);
    if (end === -1) return null;
    const isDoubled = mark.length === 1 && (rest[end + 1] === mark || rest[end - 1] === mark);
    const isInWord = mark === "_" && /\w/.test(rest[end + 1] ?? "");
    const body = rest.slice(mark.length, end);
    if (rest[end - 1] === "\\" || isDoubled || isInWord) from = end + (isDoubled && rest[end + 1] === mark ? 2 : 1);
    // "2 * 3 * 4" is arithmetic.
    else return body.trim() === "" || (mark === "*" && /^\s|\s$/.test(body)) ? null : body;
  }
}

function readAngle(rest: string): { token: Inline; length: number } | null {
  const hidden = HIDDEN_LINK.exec(rest);
  if (hidden?.[1] !== undefined && URL.canParse(hidden[1])) {
    return { token: { kind: "link", href: hidden[1], children: [{ kind: "text", text: hidden[1] }] }, length: hidden[0].length };
  }
  const match = MENTION.exec(rest);
  if (match === null) return null;
  const { user, role, channel, name, emoji, animated, at, style } = match.groups ?? {};
  const { length } = match[0];
  if (user !== undefined) return { token: { kind: "user", id: user }, length };
  if (role !== undefined) return { token: { kind: "role", id: role }, length };
  if (channel !== undefined) return { token: { kind: "channel", id: channel }, length };
  if (emoji !== undefined) return { token: { kind: "emoji", id: emoji, name: name ?? "", isAnimated: animated === "a" }, length };
  const atMs = Number(at) * 1000;
  return Math.abs(atMs) <= 8.64e15 ? { token: { kind: "time", atMs, style: style ?? "f" }, length } : null;
}

function readLink(rest: string): { token: Inline; length: number } | null {
  const link = LINK.exec(rest)?.[0];
  if (link === undefined) return null;
  const bare = link.replace(TRAILING, "");
  // A closing bracket stays when the link opened one: …/wiki/Rust_(language)
  const href = link.charAt(bare.length) === ")" && bare.split("(").length > bare.split(")").length ? `${bare})` : bare;
  return URL.canParse(href) ? { token: { kind: "link", href, children: [{ kind: "text", text: href }] }, length: href.length } : null;
}

/** The text alone, for where no markup can be shown. */
export function plainText(content: string, nameOf: (kind: "user" | "role" | "channel", id: Id) => string = () => "…"): string {
  const inline = (tokens: readonly Inline[]): string =>
    tokens
      .map((token) => {
        if ("children" in token) return token.kind === "spoiler" ? "▇▇▇" : inline(token.children);
        if ("text" in token) return token.text;
        if (token.kind === "emoji") return `:${token.name}:`;
        if (token.kind === "time") return new Date(token.atMs).toLocaleString();
        return `${token.kind === "channel" ? "#" : "@"}${nameOf(token.kind, token.id)}`;
      })
      .join("");
  const block = (item: Block): string => {
    if (item.kind === "code") return item.text;
    if (item.kind === "list") return item.items.map(inline).join(" ");
    return item.kind === "quote" ? item.children.map(block).join(" ") : inline(item.children);
  };
  return parse(content).map(block).join(" ");
}
