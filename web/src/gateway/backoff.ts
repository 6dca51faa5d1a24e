// How long to wait before attempt n of anything that dials: doubling, capped, half of it random so that a thousand pages
// that lost the same server do not come back in the same millisecond.

export interface Backoff {
  firstMs: number;
  maxMs: number;
}

export function delayMs(backoff: Backoff, attempt: number, random: () => number): number {
  const full = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(attempt, 20));
  return Math.round(full / 2 + (full / 2) * random());
}
