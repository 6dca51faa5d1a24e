import { expect, it } from "vitest";
import { VIDEO_SLOTS, VideoTable, together, videoKey } from "./videos";

function tile(userId: string, width: number, focus = false) {
  return { userId, source: "camera" as const, width, height: width / 2, focus };
}

it("asks for what is published and shown, and a video keeps its slot", () => {
  const table = new VideoTable();
  for (const user of ["1", "2", "3"]) table.show(videoKey(user, "camera"), tile(user, 100 * Number(user)));
  expect(table.wanted()).toEqual([]);
  table.publishes("1", ["camera"]);
  table.publishes("3", ["camera", "screen"]);
  expect(table.wanted().map(({ slot, user_id }) => [slot, user_id])).toEqual([
    [0, "3"],
    [1, "1"],
  ]);
  table.publishes("3", ["screen"]);
  table.publishes("2", ["camera"]);
  table.show(videoKey("1", "camera"), tile("1", 640, true));
  expect(table.wanted()).toEqual([
    { slot: 0, user_id: "2", source: "camera", width: 200, height: 100, focus: false },
    { slot: 1, user_id: "1", source: "camera", width: 640, height: 320, focus: true },
  ]);
  table.show(videoKey("1", "camera"), null);
  table.gone("2");
  expect(table.wanted()).toEqual([]);
});

it("leaves out the smallest when there are more than slots, never the focused one", () => {
  const table = new VideoTable();
  for (let user = 1; user <= VIDEO_SLOTS + 3; user += 1) {
    table.publishes(String(user), ["camera"]);
    table.show(videoKey(String(user), "camera"), tile(String(user), 10 * user, user === 1));
  }
  const users = table.wanted().map((slot) => slot.user_id);
  expect(users).toHaveLength(VIDEO_SLOTS);
  expect(users).toContain("1");
  expect(users).not.toContain("2");
});

it("grades what is shown by what arrives and what the server says of the network", () => {
  const table = new VideoTable();
  for (const user of ["1", "2", "3", "4"]) {
    table.publishes(user, ["camera"]);
    table.show(videoKey(user, "camera"), tile(user, 640 + 10 * (4 - Number(user))));
  }
  table.wanted();
  expect(table.grades([])).toEqual({});
  table.place(["1", "2", "3", "4"].map((user_id, slot) => ({ slot, ssrc: slot, user_id, source: "camera" as const })));
  table.narrow([
    { slot: 1, paused: false },
    { slot: 3, paused: true },
  ]);
  const received = [0, 1, 2].map((slot) => ({ slot, frameWidth: slot === 0 ? 640 : 320, frameHeight: slot === 0 ? 360 : 180 }));
  expect(table.grades(received)).toEqual({
    "1:camera": { height: 360, reason: "size" },
    "2:camera": { height: 180, reason: "network" },
    "3:camera": { height: 180, reason: "sender" },
    "4:camera": { height: 0, reason: "paused" },
  });
  table.narrow([]);
  expect(table.grades(received)["2:camera"]?.reason).toBe("sender");
});

it("knows where each video arrives as long as it is published", () => {
  const table = new VideoTable();
  table.publishes("1", ["camera"]);
  const slots = [
    { slot: 0, ssrc: 1, user_id: null, source: null },
    { slot: 1, ssrc: 3, user_id: "1", source: "camera" as const },
  ];
  table.place(slots);
  expect(table.filled()).toEqual({ "1:camera": 1 });
  table.publishes("1", []);
  expect(table.filled()).toEqual({});
});

it("sees who publishes at either node while a room moves", () => {
  expect(together([{ "1": ["camera"], "2": ["screen"] }, { "1": ["camera", "screen"], "3": ["camera"] }])).toEqual({
    "1": ["camera", "screen"],
    "2": ["screen"],
    "3": ["camera"],
  });
  expect(together([])).toEqual({});
});
