// What a person types into the search field, as the API's parameters: words, and filters like `from:ada has:image in:hall
// before:2026-11-01 mentions:bob pinned:true`.

import type { Id } from "../api/types";
import type { Model } from "./model";
import { displayName } from "./select";

export interface SearchQuery {
  params: URLSearchParams;
  /** Filters that name nobody and nothing here, as they were typed. */
  unknown: readonly string[];
  isEmpty: boolean;
}

const FILTER = /\b(from|in|has|before|after|during|mentions|pinned):(?:"([^"]*)"|(\S+))/g;
const KINDS: ReadonlySet<string> = new Set(["link", "embed", "file", "image", "video", "sound"]);
const DAY_MS = 86_400_000;
/** Ids begin with the milliseconds since the first of 2015. */
const EPOCH_MS = 1_420_070_400_000n;

export function parseSearch(model: Pick<Model, "users" | "members" | "channels">, guildId: Id, text: string): SearchQuery {
  const params = new URLSearchParams();
  const unknown: string[] = [];
  for (const [whole, name, quoted, bare] of text.matchAll(FILTER)) {
    const value = quoted ?? bare ?? "";
    if (!apply(params, model, guildId, name ?? "", value)) unknown.push(whole);
  }
  const content = text.replace(FILTER, " ").replace(/\s+/g, " ").trim();
  if (content !== "") params.set("content", content);
  return { params, unknown, isEmpty: params.size === 0 };
}

/** Whether the filter means something. */
function apply(params: URLSearchParams, model: Pick<Model, "users" | "members" | "channels">, guildId: Id, name: string, value: string): boolean {
  switch (name) {
    case "from":
    case "mentions": {
      const user = findUser(model, guildId, value);
      if (user !== null) params.append(name === "from" ? "author_id" : "mentions", user);
      return user !== null;
    }
    case "in": {
      const wanted = value.replace(/^#/, "").toLowerCase();
      const channel = Object.values(model.channels).find((other) => other.guild_id === guildId && other.name.toLowerCase() === wanted);
      if (channel !== undefined) params.append("channel_id", channel.id);
      return channel !== undefined;
    }
    case "has":
      if (!KINDS.has(value.replace(/^-/, ""))) return false;
      params.append("has", value);
      return true;
    case "pinned":
      if (value !== "true" && value !== "false") return false;
      params.set("pinned", value);
      return true;
    default: {
      const dayMs = Date.parse(`${value}T00:00:00`);
      if (Number.isNaN(dayMs) || dayMs < EPOCH_MS) return false;
      if (name === "before" || name === "during") params.set("max_id", idAt(name === "during" ? dayMs + DAY_MS : dayMs));
      if (name === "after") params.set("min_id", idAt(dayMs + DAY_MS));
      if (name === "during") params.set("min_id", idAt(dayMs));
      return true;
    }
  }
}

function idAt(ms: number): string {
  return String((BigInt(ms) - EPOCH_MS) << 22n);
}

function findUser(model: Pick<Model, "users" | "members">, guildId: Id, value: string): Id | null {
  const wanted = value.replace(/^@/, "").toLowerCase();
  for (const id of Object.keys(model.members[guildId] ?? {})) {
    const isNamed = model.users[id]?.username.toLowerCase() === wanted || displayName(model, guildId, id).toLowerCase() === wanted;
    if (isNamed) return id;
  }
  return null;
}
