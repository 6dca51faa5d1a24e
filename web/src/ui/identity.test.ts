import { expect, it } from "vitest";
import { hue, initials, readableColor } from "./identity";

it.each([
  ["Ada Lovelace", "AL"],
  ["grace", "GR"],
  ["x", "X"],
  ["  the old clock makers ", "TM"],
  ["bob.smith-9", "B9"],
  ["🦉 night", "🦉N"],
  ["...", "?"],
  ["", "?"],
])("takes the initials of %j: %s", (name, expected) => {
  expect(initials(name)).toBe(expected);
});

it("gives one id one colour, and ids of one moment different ones", () => {
  const ids = Array.from({ length: 30 }, (_, at) => `15738500000000000${at + 10}`);
  expect(ids.map(hue)).toEqual(ids.map(hue));
  expect(new Set(ids.map(hue)).size).toBeGreaterThan(8);
});

it("keeps colours that can be read, and lightens those that cannot", () => {
  expect([readableColor(0xe3aa4c), readableColor(0xffffff)]).toEqual(["#e3aa4c", "#ffffff"]);
  const black = readableColor(0x000001);
  expect(black).toMatch(/^#8[0-9a-f]8[0-9a-f]8[0-9a-f]$/);
  expect(readableColor(0x00008b)).not.toBe("#00008b");
});
