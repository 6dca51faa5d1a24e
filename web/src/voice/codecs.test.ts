import { describe, expect, it } from "vitest";
import { changes, codecFor, layerCount } from "./codecs";
import type { LayersPayload } from "./protocol";

const HD = { width: 1280, height: 720 };
const RIDS = ["q", "h", "f"];
const wanted = (...active: boolean[]): LayersPayload => ({ source: "camera", layers: RIDS.map((rid, index) => ({ rid, active: active[index] ?? false })) });

describe("the codec of a room", () => {
  it("is the chosen one where everybody decodes it", () => {
    const all = ["VP8", "H264", "VP9", "AV1"] as const;
    expect(codecFor("VP9", ["VP8", "VP9"], all)).toBe("VP9");
    expect(codecFor("AV1", ["VP8", "VP9"], all)).toBe("VP8");
    expect(codecFor("AV1", ["VP8", "AV1"], ["VP8", "H264"])).toBe("VP8");
    expect(codecFor("automatic", all, all)).toBe("VP8");
    expect(codecFor("automatic", ["H264"], all)).toBe("H264");
    expect(codecFor("VP9", null, all)).toBeNull();
    expect(codecFor("VP9", [], all)).toBeNull();
  });
});

describe("layers", () => {
  it("are as many as browsers make of a picture", () => {
    expect([layerCount("camera", 1280, 720), layerCount("camera", 960, 540), layerCount("camera", 640, 360), layerCount("camera", 160, 90)]).toEqual([3, 3, 2, 1]);
    expect(layerCount("camera", 540, 960)).toBe(3);
    expect(layerCount("screen", 1920, 1080)).toBe(1);
  });

  it("are encodings of their own with VP8", () => {
    const sent = changes("camera", "VP8", RIDS, wanted(true, false, true), HD);
    expect(sent.map(({ active }) => active)).toEqual([true, false, true]);
    expect(sent.map(({ scaleResolutionDownBy }) => scaleResolutionDownBy)).toEqual([4, 2, 1]);
    expect(sent.every((change) => !("scalabilityMode" in change))).toBe(true);
    expect(changes("screen", null, [""], { source: "screen", layers: [{ rid: "", active: false }] }, HD)).toEqual([{ active: false }]);
  });

  it("are in one encoding with VP9, up to the largest that somebody wants", () => {
    const of = (...active: boolean[]) => changes("camera", "VP9", RIDS, wanted(...active), HD);
    expect(of(false, false, true)).toEqual([{ active: true, scaleResolutionDownBy: 1, maxBitrate: 1_700_000, scalabilityMode: "L3T3" }, { active: false }, { active: false }]);
    expect(of(true, true, false)[0]).toEqual({ active: true, scaleResolutionDownBy: 2, maxBitrate: 500_000, scalabilityMode: "L2T3" });
    expect(of(true, false, false)[0]).toEqual({ active: true, scaleResolutionDownBy: 4, maxBitrate: 150_000, scalabilityMode: "L1T3" });
    expect(of(false, false, false).map(({ active }) => active)).toEqual([false, false, false]);
    expect(changes("camera", "AV1", RIDS, wanted(true, false, false), { width: 640, height: 360 })[0]).toMatchObject({ scaleResolutionDownBy: 2, scalabilityMode: "L1T3" });
    expect(changes("screen", "AV1", [""], null, HD)).toEqual([{ active: true, scaleResolutionDownBy: 1, scalabilityMode: "L1T3" }]);
  });
});
