import { describe, expect, it } from "vitest";
import type { MemberListItem, MemberListUpdate } from "../api/types";
import { lineCount, type MemberLists, ranges, unlistedOffline, updateList } from "./memberList";
import { emptyModel } from "./model";
import { reduce } from "./reduce";

function person(id: number): MemberListItem {
  return { member: { user: { id: String(id), username: `m${id}`, global_name: null }, nick: null, roles: [], joined_at: "", presence: { status: "idle" } } };
}

const online: MemberListItem = { group: { id: "online", count: 3 } };

function update(ops: MemberListUpdate["ops"], extra: Partial<MemberListUpdate> = {}): MemberListUpdate {
  return { guild_id: "10", id: "everyone", member_count: 3, online_count: 3, groups: [{ id: "online", count: 3 }], ops, ...extra };
}

function lines(lists: MemberLists): string[] {
  return Array.from(lists["10"]?.lines ?? [], (line) => (line === undefined ? "?" : line.kind === "group" ? line.id : line.userId));
}

const first = updateList({}, update([{ op: "SYNC", range: [0, 99], items: [online, person(1), person(2), person(3)] }]));

describe("updateList", () => {
  it("takes a window, and knows the end from one that is not full", () => {
    expect(lines(first)).toEqual(["online", "1", "2", "3"]);
    expect(first["10"]?.end).toBe(4);
    const full = updateList({}, update([{ op: "SYNC", range: [0, 1], items: [online, person(1)] }]));
    expect(full["10"]?.end).toBe(null);
  });

  it("applies deletions and insertions in their order", () => {
    const moved = updateList(first, update([{ op: "DELETE", index: 3 }, { op: "DELETE", index: 1 }, { op: "INSERT", index: 1, item: person(9) }, { op: "UPDATE", index: 2, item: person(2) }]));
    expect(lines(moved)).toEqual(["online", "9", "2"]);
    expect(moved["10"]?.end).toBe(3);
  });

  it("leaves holes between windows, and fills them", () => {
    const far = updateList(first, update([{ op: "SYNC", range: [6, 7], items: [person(6), person(7)] }]));
    expect(lines(far)).toEqual(["online", "1", "2", "3", "?", "?", "6", "7"]);
    expect(far["10"]?.end).toBe(8);
    const beyond = updateList({}, update([{ op: "SYNC", range: [0, 0], items: [online] }, { op: "INSERT", index: 3, item: person(3) }]));
    expect(lines(beyond)).toEqual(["online", "?", "?", "3"]);
  });

  it("shortens with a window that ends before what was there", () => {
    const shorter = updateList(first, update([{ op: "SYNC", range: [0, 99], items: [online, person(1)] }]));
    expect([lines(shorter), shorter["10"]?.end]).toEqual([["online", "1"], 2]);
  });

  it("begins anew with another list, and ignores what is late of one that is not shown", () => {
    const other = updateList(first, update([{ op: "SYNC", range: [0, 99], items: [person(5)] }], { id: "77" }));
    expect([other["10"]?.id, lines(other)]).toEqual(["77", ["5"]]);
    expect(updateList(other, update([{ op: "DELETE", index: 0 }]))).toBe(other);
  });

  it("empties what is invalid", () => {
    expect(lines(updateList(first, update([{ op: "INVALIDATE", range: [1, 99] }])))).toEqual(["online", "?", "?", "?"]);
  });
});

describe("a member list", () => {
  it("makes room for what the groups say until the end is known", () => {
    const groups = [
      { id: "7", count: 20 },
      { id: "online", count: 200 },
      { id: "offline", count: 4_000 },
    ];
    const list = { id: "everyone", groups, lines: [], end: null };
    expect([lineCount(list, 4_220), unlistedOffline(list, 4_220)]).toEqual([222, 4_000]);
    expect([lineCount(list, 900), unlistedOffline(list, 900)]).toEqual([4_223, 0]);
    expect(lineCount({ ...list, end: 5 }, 900)).toBe(5);
  });

  it("asks for whole parts around what is seen", () => {
    expect(ranges(-10, 30)).toEqual([[0, 99]]);
    expect(ranges(90, 130)).toEqual([
      [0, 99],
      [100, 199],
    ]);
    expect(ranges(4_250, 4_270)).toEqual([[4_200, 4_299]]);
  });

  it("brings memberships and presences along", () => {
    const model = reduce(emptyModel, { t: "GUILD_MEMBER_LIST_UPDATE", d: update([{ op: "SYNC", range: [0, 99], items: [online, person(1)] }]) }, { nowMs: 0, openChannels: [] });
    expect([model.users["1"]?.username, model.members["10"]?.["1"]?.userId, model.presences["1"]]).toEqual(["m1", "1", "idle"]);
  });
});
