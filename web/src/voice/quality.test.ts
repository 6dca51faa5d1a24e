import { expect, it } from "vitest";
import { gradeText, limitText, ownGradeText, qualityText, readQuality } from "./quality";

it("says how good the connection is and what it suffers from", () => {
  const told = { score: 4.3, loss_up: 0, loss_down: 0.004, jitter_ms: 2, round_trip_ms: 23.4 };
  expect(qualityText(readQuality(told))).toBe("Good connection · 23 ms");
  expect(qualityText(readQuality({ ...told, score: 3.7, round_trip_ms: null }))).toBe("Fair connection");
  expect(qualityText(readQuality({ ...told, score: 2, loss_up: 0.126 }))).toBe("Poor connection · 23 ms · 13 % lost");
});

it("says how large a picture is and why it is not larger", () => {
  expect(gradeText({ height: 360, reason: "size" })).toBe("360p");
  expect(gradeText({ height: 180, reason: "network" })).toBe("180p · your network");
  expect(gradeText({ height: 180, reason: "sender" })).toBe("180p · not sent larger");
  expect(gradeText({ height: 180, reason: "paused" })).toContain("Paused");
});

it("names a limit only when there is one", () => {
  expect([ownGradeText(null), ownGradeText("cpu"), ownGradeText("bandwidth")]).toEqual([null, "Smaller · busy computer", "Smaller · your network"]);
  expect(limitText(null)).toBeNull();
  expect(limitText("cpu")).toContain("busy");
  expect(limitText("bandwidth")).toContain("network");
});
