import { describe, expect, it } from "vitest";
import { Handover, type Heard } from "./handover";

function slot(mid: string, userId: string | null, level = 0, isOn = userId !== null): Heard {
  return { mid, userId, isOn, level };
}

const nothing = { older: new Set(), newer: new Set() };

describe("Handover", () => {
  it("hears who talks by the old connection until their sound has come by the new one", () => {
    const handover = new Handover();
    const older = [slot("1", "7", 0.2), slot("2", null)];
    expect(handover.update(older, [slot("1", null)])).toEqual({ older: new Set(), newer: new Set(["1"]) });
    expect(handover.update(older, [slot("1", "7")])).toEqual({ older: new Set(), newer: new Set(["1"]) });
    expect(handover.update(older, [slot("1", "7", 0.2)])).toEqual({ older: new Set(["1"]), newer: new Set() });
  });

  it("changes in a pause, once the new node has them", () => {
    const handover = new Handover();
    expect(handover.update([slot("1", "7")], [slot("1", "7", 0, false)])).toEqual({ older: new Set(), newer: new Set(["1"]) });
    expect(handover.update([slot("1", "7")], [slot("1", "7")])).toEqual({ older: new Set(["1"]), newer: new Set() });
  });

  it("does not go back when they pause", () => {
    const handover = new Handover();
    handover.update([slot("1", "7", 0.2)], [slot("1", "7", 0.2)]);
    expect(handover.update([slot("1", "7", 0.2)], [slot("1", "7", 0, false)])).toEqual({ older: new Set(["1"]), newer: new Set() });
  });

  it("hears at once who comes to the new node only, and who has left the old one", () => {
    const handover = new Handover();
    expect(handover.update([slot("1", "7", 0.2)], [slot("3", "8")])).toEqual(nothing);
    expect(handover.update([slot("1", "7", 0, false)], [slot("2", "7"), slot("3", "8")])).toEqual({
      older: new Set(["1"]),
      newer: new Set(),
    });
  });

  it("changes each by themselves", () => {
    const handover = new Handover();
    const older = [slot("1", "7", 0.2), slot("2", "8", 0.2)];
    expect(handover.update(older, [slot("1", "8", 0.2), slot("2", "7")])).toEqual({ older: new Set(["2"]), newer: new Set(["2"]) });
  });
});
