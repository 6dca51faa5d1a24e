import { expect, it } from "vitest";
import { PERMISSION_GROUPS, triOf, withBit, withTri } from "./permissionNames";

it("names every permission once", () => {
  const bits = PERMISSION_GROUPS.flatMap((group) => group.permissions.map((permission) => permission.bit));
  expect(new Set(bits).size).toBe(bits.length);
});

it("changes one permission of an overwrite and leaves the others", () => {
  const before = { allow: "1024", deny: "2048" };
  expect([triOf(before, 1024n), triOf(before, 2048n), triOf(before, 4096n), triOf(undefined, 1n)]).toEqual(["allow", "deny", "inherit", "inherit"]);
  expect(withTri(before, 2048n, "allow")).toEqual({ allow: "3072", deny: "0" });
  expect(withTri(before, 1024n, "inherit")).toEqual({ allow: "0", deny: "2048" });
  expect(withTri(undefined, 1n << 51n, "deny")).toEqual({ allow: "0", deny: "2251799813685248" });
});

it("sets and clears bits above 2^32", () => {
  expect(withBit("1", 1n << 40n, true)).toBe("1099511627777");
  expect(withBit("1099511627777", 1n << 40n, false)).toBe("1");
});
