// Which codec this page's videos are sent in, and how their layers are made of it: with VP8 and H.264 an encoding each, with VP9
// and AV1 one encoding that holds them all.

import { CAMERA_LAYERS } from "./camera";
import type { LayersPayload, VideoSource } from "./protocol";

/** As SDP names them, from what the page sends where nobody chose. */
export const CODECS = ["VP8", "H264", "VP9", "AV1"] as const;
export type Codec = (typeof CODECS)[number];
export type CodecChoice = Codec | "automatic";

export function isCodec(name: unknown): name is Codec {
  return CODECS.includes(name as Codec);
}

/** The codec that is chosen, if everybody decodes it and this browser encodes it, and otherwise the first that fits; `null`: what was negotiated. */
export function codecFor(choice: CodecChoice, room: readonly string[] | null, own: readonly Codec[]): Codec | null {
  if (room === null) return null;
  const fitting = own.filter((codec) => room.includes(codec));
  if (choice !== "automatic" && fitting.includes(choice)) return choice;
  return fitting[0] ?? null;
}

/** Whether one encoding holds all layers. */
export function isLayered(codec: Codec | null): boolean {
  return codec === "VP9" || codec === "AV1";
}

/** Browsers make no layer smaller than this. */
const SMALLEST = { long: 240, short: 135 };

/** How many layers there can be of a picture, each of a quarter of the next. */
export function layerCount(source: VideoSource, width: number, height: number): number {
  if (source === "screen") return 1;
  const times = Math.min(Math.max(width, height) / SMALLEST.long, Math.min(width, height) / SMALLEST.short);
  return Math.max(1, Math.min(CAMERA_LAYERS.length, 1 + Math.floor(Math.log2(times))));
}

/** What changes of an encoding. */
export type Change = Pick<RTCRtpEncodingParameters, "active" | "scaleResolutionDownBy" | "maxBitrate"> & { scalabilityMode?: string };

function isWanted(payload: LayersPayload | null, rid: string): boolean {
  const layers = payload?.layers ?? [];
  const wanted = layers.find((layer) => layer.rid === rid) ?? (layers.length === 1 ? layers[0] : undefined);
  return wanted?.active ?? true;
}

/** How each of the encodings of these names is sent in a codec, of a picture of this size. */
export function changes(
  source: VideoSource,
  codec: Codec | null,
  rids: readonly string[],
  wanted: LayersPayload | null,
  size: { width: number; height: number },
): Change[] {
  const made = source === "camera" ? CAMERA_LAYERS : [];
  if (!isLayered(codec)) return rids.map((rid) => ({ ...pick(made.find((layer) => layer.rid === rid)), active: isWanted(wanted, rid) }));
  const count = layerCount(source, size.width, size.height);
  // The largest that anybody wants needs all below it.
  const sent = source === "screen" ? (isWanted(wanted, rids[0] ?? "") ? 1 : 0) : Math.min(count, 1 + rids.findLastIndex((rid) => isWanted(wanted, rid)));
  const top = made[made.length - count + sent - 1];
  return rids.map((_, index) =>
    index > 0 || sent === 0
      ? { active: false }
      : { ...pick(top), active: true, scaleResolutionDownBy: 2 ** (count - sent), scalabilityMode: `L${sent}T3` },
  );
}

function pick(layer: RTCRtpEncodingParameters | undefined): Omit<Change, "active"> {
  const { scaleResolutionDownBy, maxBitrate } = layer ?? {};
  return { ...(scaleResolutionDownBy !== undefined && { scaleResolutionDownBy }), ...(maxBitrate !== undefined && { maxBitrate }) };
}
