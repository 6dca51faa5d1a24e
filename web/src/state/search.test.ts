import { describe, expect, it } from "vitest";
import { emptyModel, type Model } from "./model";
import { parseSearch } from "./search";

const channel = { id: "20", type: 0, guild_id: "10", name: "hall", position: 0, parent_id: null, topic: null, last_message_id: null, permission_overwrites: [] };
const model: Model = {
  ...emptyModel,
  users: { "1": { id: "1", username: "ada", global_name: "Ada L." } },
  members: { "10": { "1": { userId: "1", nick: null, roles: [] } } },
  channels: { "20": channel },
};

function search(text: string): [string, readonly string[]] {
  const { params, unknown } = parseSearch(model, "10", text);
  return [decodeURIComponent(params.toString()), unknown];
}

describe("parseSearch", () => {
  it("takes filters out of the words", () => {
    expect(search("dead beat from:ada in:#hall has:image has:-link pinned:true")).toEqual(["author_id=1&channel_id=20&has=image&has=-link&pinned=true&content=dead+beat", []]);
    expect(search('mentions:"Ada L." x')).toEqual(["mentions=1&content=x", []]);
  });

  it("names the filters that fit nothing", () => {
    expect(search("from:bob in:cellar has:magic pinned:maybe before:soon")).toEqual(["", ["from:bob", "in:cellar", "has:magic", "pinned:maybe", "before:soon"]]);
    expect(parseSearch(model, "10", "  ").isEmpty).toBe(true);
  });

  it("turns days into ids", () => {
    const { params } = parseSearch(model, "10", "during:2026-11-20");
    const [from, to] = [BigInt(params.get("min_id") ?? 0), BigInt(params.get("max_id") ?? 0)];
    expect((to - from) >> 22n).toBe(86_400_000n);
    expect(Number((from >> 22n) + 1_420_070_400_000n)).toBe(Date.parse("2026-11-20T00:00:00"));
  });
});
