import { describe, expect, it } from "vitest";
import { answerSlots, opusPayloadType, withRepeats, withSounds, withStereo } from "./sdp";
import { SlotTable } from "./slots";

const answer = [
  "v=0",
  "o=- 1 2 IN IP4 0.0.0.0",
  "s=-",
  "t=0 0",
  "a=ice-lite",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=mid:0",
  "a=recvonly",
  "a=rtpmap:111 opus/48000/2",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=mid:1",
  "a=sendonly",
  "a=ssrc:1001 cname:a",
  "a=ssrc:1001 msid:- a",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=mid:2",
  "a=sendonly",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=mid:3",
  "a=inactive",
  "m=audio 0 UDP/TLS/RTP/SAVPF 111",
  "a=mid:4",
  "a=sendonly",
  "",
].join("\r\n");

describe("session descriptions", () => {
  it("finds the sections in which the server sends, with their SSRC when it is named", () => {
    expect(answerSlots(answer)).toEqual([
      { mid: "1", ssrc: 1001 },
      { mid: "2", ssrc: null },
    ]);
  });

  it("finds the payload type of Opus", () => {
    expect(opusPayloadType(answer)).toBe(111);
    expect(opusPayloadType("a=rtpmap:0 PCMU/8000")).toBeNull();
  });
});

function section(mid: number, kind: string): string {
  return `m=${kind} 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:${mid}\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n`;
}

describe("an offer", () => {
  const offer = `v=0\r\ns=-\r\n${section(0, "audio")}${section(1, "audio")}${section(2, "video")}`;

  it("asks for stereo in the sections for sounds and nowhere else", () => {
    const stereo = section(1, "audio").replace("useinbandfec=1", "useinbandfec=1;stereo=1");
    expect(withStereo(offer, new Set([1]))).toBe(offer.replace(section(1, "audio"), stereo));
  });

  it("asks for lost audio in the sections of voices alone, once", () => {
    const asking = section(1, "audio").replace("opus/48000/2\r\n", "opus/48000/2\r\na=rtcp-fb:111 nack\r\n");
    expect(asking).not.toBe(section(1, "audio"));
    const asked = offer.replace(section(1, "audio"), asking);
    expect(withRepeats(offer, new Set([1]))).toBe(asked);
    expect(withRepeats(asked, new Set([1]))).toBe(asked);
    expect(withRepeats("v=0\r\n", new Set([0]))).toBe("v=0\r\n");
  });

  it("names those sections to the server", () => {
    const named = section(1, "audio").replace("a=mid", "a=content:slides\r\na=mid");
    expect(withSounds(offer, new Set([1]))).toBe(offer.replace(section(1, "audio"), named));
  });
});

function table(): SlotTable {
  const slots = new SlotTable();
  slots.open([
    { mid: "1", ssrc: 1001 },
    { mid: "2", ssrc: 1002 },
  ]);
  return slots;
}

describe("SlotTable", () => {
  it("puts a speaker into the slot with its SSRC and keeps it there while it is silent", () => {
    const slots = table();
    slots.speaker("7", 1001, true);
    expect(slots.all()[0]).toEqual({ mid: "1", ssrc: 1001, userId: "7", isOn: true });
    slots.speaker("7", 1001, false);
    expect(slots.all()[0]).toEqual({ mid: "1", ssrc: 1001, userId: "7", isOn: false });
  });

  it("lets a new speaker take a slot over, and ignores the late end of the one before", () => {
    const slots = table();
    slots.speaker("7", 1001, true);
    slots.speaker("8", 1001, true);
    slots.speaker("7", 1001, false);
    expect(slots.all()[0]).toMatchObject({ userId: "8", isOn: true });
  });

  it("has a user in one slot at a time", () => {
    const slots = table();
    slots.speaker("7", 1001, true);
    slots.speaker("7", 1002, true);
    expect(slots.all().map((slot) => slot.userId)).toEqual([null, "7"]);
  });

  it("remembers a speaker who was named before the slots were known", () => {
    const slots = new SlotTable();
    slots.speaker("7", 1001, true);
    slots.open([{ mid: "1", ssrc: null }]);
    expect(slots.all()[0]?.userId).toBeNull();
    slots.learn("1", 1001);
    expect(slots.all()[0]?.userId).toBe("7");
  });

  it("empties the slot of a user who went", () => {
    const slots = table();
    slots.speaker("7", 1001, true);
    slots.gone("7");
    expect(slots.all()[0]).toMatchObject({ userId: null, isOn: false });
  });
});
