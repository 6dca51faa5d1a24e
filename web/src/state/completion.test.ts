import { describe, expect, it } from "vitest";
import { completionAt, decodeLabels, encodeLabels, proposals } from "./completion";
import { emptyModel, type Model } from "./model";

describe("completionAt", () => {
  it.each([
    ["hello @ad", { mark: "@", query: "ad", from: 6, to: 9 }],
    ["@", { mark: "@", query: "", from: 0, to: 1 }],
    ["(see #gen", { mark: "#", query: "gen", from: 5, to: 9 }],
    [":ge", { mark: ":", query: "ge", from: 0, to: 3 }],
    ["@Ada", { mark: "@", query: "ada", from: 0, to: 4 }],
    [":)", null],
    [":g", null],
    ["mail@example", null],
    ["it is 10:30", null],
    ["@ada said", null],
  ])("of %j", (text, expected) => {
    expect(completionAt(text, text.length)).toEqual(expected);
  });

  it("looks only at what stands before the caret", () => {
    expect(completionAt("@ad and more", 3)).toMatchObject({ query: "ad", from: 0, to: 3 });
  });
});

const model: Model = {
  ...emptyModel,
  users: { "1": { id: "1", username: "ada", global_name: "Ada Lovelace" }, "2": { id: "2", username: "bradac", global_name: null } },
  members: { "10": { "1": { userId: "1", nick: null, roles: [] }, "2": { userId: "2", nick: null, roles: [] } } },
  guilds: {
    "10": {
      id: "10",
      name: "Clockmakers",
      owner_id: "1",
      memberCount: 2,
      isUnavailable: false,
      roles: [
        { id: "10", name: "@everyone", permissions: "0", position: 0, color: 0, hoist: false },
        { id: "11", name: "Adepts", permissions: "0", position: 1, color: 0, hoist: false },
      ],
      emojis: [{ id: "77", name: "gear" }],
    },
  },
  channels: { "20": { id: "20", type: 0, guild_id: "10", name: "general", position: 0, parent_id: null, topic: null, last_message_id: null, permission_overwrites: [] } },
};

function labels(text: string): string[] {
  const completion = completionAt(text, text.length);
  return completion === null ? [] : proposals(model, "10", "20", completion, 8).map((proposal) => `${proposal.label} ${proposal.wire}`);
}

describe("proposals", () => {
  it("name people (those who begin so first), roles, channels and emojis", () => {
    expect(labels("@ad")).toEqual(["@Ada Lovelace <@1>", "@bradac <@2>", "@Adepts <@&11>"]);
    expect(labels("@eve")).toEqual(["@everyone @everyone"]);
    expect(labels("#gen")).toEqual(["#general <#20>"]);
    expect(labels(":gear")[0]).toBe(":gear: <:gear:77>");
    expect(labels(":thumbs")[0]).toBe("👍 👍");
  });
});

describe("encodeLabels", () => {
  it("puts the wire's form in place of what was chosen, and of nothing else", () => {
    const chosen = new Map([
      ["@Ada", "<@1>"],
      ["@Ada Lovelace", "<@2>"],
      [":gear:", "<:gear:77>"],
    ]);
    expect(encodeLabels("@Ada and @Ada Lovelace: :gear: @Adams", chosen)).toBe("<@1> and <@2>: <:gear:77> @Adams");
    expect(encodeLabels("a+b @x", new Map([["a+b", "c"]]))).toBe("c @x");
    expect(encodeLabels("plain", new Map())).toBe("plain");
  });
});

describe("decodeLabels", () => {
  it("shows names in what is changed, and finds back what they stand for", () => {
    const content = "<@1> see <#20>, <@&11> <:gear:77> <a:gear:78> <t:1:R>";
    const { text, chosen } = decodeLabels(content, model, "10");
    expect(text).toBe("@Ada Lovelace see #general, @Adepts :gear: <a:gear:78> <t:1:R>");
    expect(encodeLabels(text, chosen)).toBe(content);
  });
});
