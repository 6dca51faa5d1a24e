import { describe, expect, it } from "vitest";
import { type Region, Regions } from "./regions";

const TIMES: Record<string, number[]> = {
  "https://eu-1/probe": [90, 21.4, 30],
  "https://us-2/probe": [300, 110, 100],
};

function regions(list: Region[], now: () => number = () => 0): { regions: Regions; asked: string[] } {
  const asked: string[] = [];
  const left: Record<string, number[]> = structuredClone(TIMES);
  const probe = async (url: string): Promise<number> => {
    asked.push(url);
    const ms = left[url]?.shift();
    if (ms === undefined) throw new Error("nobody answers");
    return ms;
  };
  return { regions: new Regions(async () => list, probe, now), asked };
}

describe("Regions", () => {
  it("measures each region by the first node that answers, without the first request", async () => {
    const list = [
      { id: "eu", probes: ["https://eu-1/probe"] },
      { id: "us", probes: ["https://us-1/probe", "https://us-2/probe"] },
      { id: "asia", probes: ["https://asia-1/probe"] },
    ];
    const { regions: measured } = regions(list);
    expect(measured.rtts).toEqual({});
    await measured.refresh();
    expect(measured.rtts).toEqual({ eu: 21, us: 100 });
  });

  it("asks nobody when there is nothing to choose, and not again for a while", async () => {
    let now = 0;
    const { regions: alone, asked } = regions([{ id: "local", probes: ["/probe"] }], () => now);
    await alone.refresh();
    expect([alone.rtts, asked]).toEqual([{}, []]);
    const { regions: two, asked: probed } = regions([{ id: "eu", probes: ["https://eu-1/probe"] }, { id: "us" }], () => now);
    await two.refresh();
    await two.refresh();
    expect(probed.length).toBe(3);
    now = 11 * 60_000;
    await two.refresh();
    expect(probed.length).toBe(4);
    expect(two.rtts).toEqual({});
  });
});
