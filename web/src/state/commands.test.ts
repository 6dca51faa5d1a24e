import { describe, expect, it } from "vitest";
import type { Command } from "../api/types";
import { entriesOf, findCommands, optionProblem, optionValues } from "./commands";

const base = { application_id: "9", version: "1", type: 1, description: "d" };
const commands: Command[] = [
  { ...base, id: "1", name: "ping" },
  { ...base, id: "2", name: "music", options: [
    { type: 1, name: "play", description: "p", options: [{ type: 3, name: "song", description: "s", required: true }, { type: 4, name: "volume", description: "v" }] },
    { type: 2, name: "queue", description: "q", options: [{ type: 1, name: "clear", description: "c" }] },
  ] },
  { ...base, id: "3", name: "Quote", type: 3 },
];
const entries = entriesOf(commands);

describe("commands", () => {
  it("lists every subcommand once and leaves menus out", () => {
    expect(entries.map((entry) => entry.name)).toEqual(["ping", "music play", "music queue clear"]);
  });

  it("finds by the beginning first", () => {
    expect(findCommands(entries, "p", 8).map((entry) => entry.name)).toEqual(["ping", "music play"]);
    expect(findCommands(entries, "music", 1)).toHaveLength(1);
    expect(findCommands(entries, "zzz", 8)).toEqual([]);
  });

  it("nests what was entered below its subcommands, by type", () => {
    const play = entries[1];
    if (play === undefined) throw new Error("listed above");
    expect(optionValues(play, { song: "Für Elise", volume: "7" }, null)).toEqual([
      { type: 1, name: "play", options: [{ type: 3, name: "song", value: "Für Elise" }, { type: 4, name: "volume", value: 7 }] },
    ]);
    expect(optionValues(play, { song: "Fü" }, "song")).toEqual([{ type: 1, name: "play", options: [{ type: 3, name: "song", value: "Fü", focused: true }] }]);
  });

  it("says what is wrong with an option", () => {
    const option = { type: 4, name: "n", description: "", required: true };
    expect([optionProblem(option, ""), optionProblem(option, "x"), optionProblem(option, "12")]).toEqual(["This is needed.", "A whole number is needed.", null]);
  });
});
