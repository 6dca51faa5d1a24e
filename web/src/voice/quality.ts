// What is said about the connection: the server's figures, and what holds this page's own video back.

export interface Quality {
  /** Mean opinion score, 1 to 4.4. */
  score: number;
  roundTripMs: number | null;
  /** The worse direction, 0..1. */
  loss: number;
}

/** Why the browser sends less than it could. */
export type Limit = "cpu" | "bandwidth" | null;

/** What a tile shows, and what keeps it from being better. */
export interface Grade {
  /** Lines of the picture that arrives; zero before the first one. */
  height: number;
  /** `size`: it is as large as the tile needs. `sender`: the other side sends no larger one. */
  reason: "size" | "network" | "paused" | "sender";
}

export function gradeText({ height, reason }: Grade): string {
  if (reason === "paused") return "Paused: your network carries no more";
  const text = `${height}p`;
  if (reason === "network") return `${text} · your network`;
  return reason === "sender" ? `${text} · not sent larger` : text;
}

interface QualityPayload {
  score: number;
  loss_up: number;
  loss_down: number;
  round_trip_ms: number | null;
}

export function readQuality(d: unknown): Quality {
  const { score, loss_up, loss_down, round_trip_ms } = d as QualityPayload;
  return { score, roundTripMs: round_trip_ms, loss: Math.max(loss_up, loss_down) };
}

/** The line under the controls. */
export function qualityText({ score, roundTripMs, loss }: Quality): string {
  const word = score >= 4 ? "Good" : score >= 3.6 ? "Fair" : "Poor";
  const parts = [`${word} connection`];
  if (roundTripMs !== null) parts.push(`${Math.round(roundTripMs)} ms`);
  if (loss >= 0.01) parts.push(`${Math.round(loss * 100)} % lost`);
  return parts.join(" · ");
}

/** The same in a corner of the own picture. */
export function ownGradeText(limit: Limit): string | null {
  if (limit === "cpu") return "Smaller · busy computer";
  return limit === "bandwidth" ? "Smaller · your network" : null;
}

export function limitText(limit: Limit): string | null {
  if (limit === "cpu") return "Your video is smaller than it could be: this computer is busy.";
  if (limit === "bandwidth") return "Your video is smaller than it could be: your network carries no more.";
  return null;
}
