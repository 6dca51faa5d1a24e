// When a level counts as speech: two thresholds, so that a voice at the edge does not flicker, and a hold, so that the
// pause between two words is not silence.

export interface ActivityTuning {
  /** RMS of full scale that starts speech. A quiet voice is about 0.02, room noise after suppression below 0.005. */
  on: number;
  /** RMS under which the hold begins to run. */
  off: number;
  holdMs: number;
}

export const TUNING: ActivityTuning = { on: 0.012, off: 0.006, holdMs: 350 };

export class Activity {
  #isOn = false;
  #lastLoudMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly tuning: ActivityTuning = TUNING) {}

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Takes one measurement and answers whether there is speech now. */
  update(nowMs: number, level: number): boolean {
    if (level >= (this.#isOn ? this.tuning.off : this.tuning.on)) {
      this.#isOn = true;
      this.#lastLoudMs = nowMs;
    } else if (nowMs - this.#lastLoudMs > this.tuning.holdMs) {
      this.#isOn = false;
    }
    return this.#isOn;
  }
}
