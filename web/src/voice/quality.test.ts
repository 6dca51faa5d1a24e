import { expect, it } from "vitest";
import { limitText, qualityText, readQuality } from "./quality";

it("says how good the connection is and what it suffers from", () => {
  const told = { score: 4.3, loss_up: 0, loss_down: 0.004, jitter_ms: 2, round_trip_ms: 23.4 };
  expect(qualityText(readQuality(told))).toBe("Good connection · 23 ms");
  expect(qualityText(readQuality({ ...told, score: 3.7, round_trip_ms: null }))).toBe("Fair connection");
  expect(qualityText(readQuality({ ...told, score: 2, loss_up: 0.126 }))).toBe("Poor connection · 23 ms · 13 % lost");
});

it("names a limit only when there is one", () => {
  expect(limitText(null)).toBeNull();
  expect(limitText("cpu")).toContain("busy");
  expect(limitText("bandwidth")).toContain("network");
});
