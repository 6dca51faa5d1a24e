// How far the voice regions are: measured now and then, and told with every request for a place, so that a call is put where it
// is near to everyone in it.

/** A region as `GET /voice/regions` names it. */
export interface Region {
  id: string;
  /** Addresses that answer at once; a path alone is on this host. */
  probes?: string[];
}

/** Networks change (a phone leaves the house), and a call does not wait for a measurement. */
const FRESH_MS = 10 * 60_000;
const PROBE_TIMEOUT_MS = 3_000;
/** The first request opens the connection; the shortest of the others is the distance. */
const ROUNDS = 3;

export class Regions {
  #rtts: Record<string, number> = {};
  #measuredMs = Number.NEGATIVE_INFINITY;
  #isMeasuring = false;

  /** `probe` resolves to the milliseconds of one request. */
  constructor(
    private readonly list: () => Promise<Region[]>,
    private readonly probe: (url: string) => Promise<number> = timed,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Round-trip times in milliseconds; empty as long as nothing was measured, or there is nothing to choose from. */
  get rtts(): Readonly<Record<string, number>> {
    return this.#rtts;
  }

  /** Measures, unless that was done a short time ago. Never fails: what cannot be measured is left out. */
  async refresh(): Promise<void> {
    if (this.#isMeasuring || this.now() - this.#measuredMs < FRESH_MS) return;
    this.#isMeasuring = true;
    try {
      const regions = await this.list();
      const measured = regions.length < 2 ? [] : await Promise.all(regions.map(async ({ id, probes }) => [id, await this.#distance(probes ?? [])] as const));
      this.#rtts = Object.fromEntries(measured.filter(([, ms]) => ms !== null)) as Record<string, number>;
      this.#measuredMs = this.now();
    } catch {
      // The next request for a place tries again.
    } finally {
      this.#isMeasuring = false;
    }
  }

  /** To the first node of the region that answers. */
  async #distance(probes: string[]): Promise<number | null> {
    for (const url of probes) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- one after another is what is measured
        return await this.#shortest(url);
      } catch {
        // The next one.
      }
    }
    return null;
  }

  async #shortest(url: string): Promise<number> {
    await this.probe(url);
    let best = Number.POSITIVE_INFINITY;
    // oxlint-disable-next-line no-await-in-loop -- together they would wait for each other
    for (let round = 1; round < ROUNDS; round++) best = Math.min(best, await this.probe(url));
    return Math.max(1, Math.round(best));
  }
}

async function timed(url: string): Promise<number> {
  const began = performance.now();
  await fetch(url, { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
  return performance.now() - began;
}
