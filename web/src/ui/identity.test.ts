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

it("keeps colours that can be read, and darkens or lightens those that cannot", () => {
  expect(readableColor(0x00008b)).toMatch(/^light-dark\(#00008b, #[0-9a-f]{6}\)$/);
  expect(readableColor(0xe3aa4c)).toMatch(/^light-dark\(#[0-9a-f]{6}, #e3aa4c\)$/);
  expect(readableColor(0xffffff)).toMatch(/^light-dark\(#(5.){3}, #ffffff\)$/);
  expect(readableColor(0x000001)).toMatch(/^light-dark\(#000001, #(8.){3}\)$/);
});
