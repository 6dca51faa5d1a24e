import { expect, it } from "vitest";
import { Activity } from "./activity";

const tuning = { on: 0.02, off: 0.01, holdMs: 300 };

it("starts at the upper threshold and ends a hold after the lower one", () => {
  const activity = new Activity(tuning);
  const levels: [number, number, boolean][] = [
    [0, 0.015, false],
    [60, 0.02, true],
    // Between the thresholds it goes on.
    [120, 0.012, true],
    [180, 0.001, true],
    [420, 0.001, true],
    [421, 0.001, false],
    [480, 0.012, false],
  ];
  expect(levels.map(([now, level]) => activity.update(now, level))).toEqual(levels.map(([, , isOn]) => isOn));
});
