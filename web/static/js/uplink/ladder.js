/**
 * How much of the picture a page sends. Pure: time and measurements in, a rung out.
 *
 * Down: when the line carries less than the rung needs for a few seconds. Up: when it has carried
 * clearly more for a while; each rung that could not be held makes the next try wait longer.
 */

/** Rungs from the best to the least. */
export const RUNGS = /** @type {const} */ (["full", "reduced", "slow", "sound"]);
/** @typedef {(typeof RUNGS)[number]} Rung */

/**
 * @typedef {object} Sample
 * @property {number | null} availableBps what the browser believes it may send; null: it does not tell
 * @property {number | null} loss share of what we sent that was lost, 0 to 1
 * @property {number | null} rttMs
 * @property {boolean} isLost the server has not heard us for seconds
 * @property {number} [wantedBps] what the layers that are on may take; less than a rung needs where few look, or small
 */

/** What a rung needs at least, sound included, in bit/s. */
const NEEDS_BPS = { full: 500_000, reduced: 180_000, slow: 60_000, sound: 0 };
/** What the next better rung must find before it is tried: what we send now, and clearly more. */
const OPENS_BPS = { full: 600_000, reduced: 260_000, slow: 0, sound: 0 };
/** A browser measures no more than it sends: of layers that few look at, it need not find more than this share. */
const OF_WANTED = 0.8;
/** Loss and delay alone are judged where the browser does not tell a rate, or when they are extreme. */
const LOSSY = { quiet: 0.04, poor: 0.15, extreme: 0.4 };
const SLOW_RTT_MS = { poor: 1000, extreme: 2500 };
/** How long it must be bad, and how long good. */
const DOWN_MS = 3000;
const UP_MS = 5000;
const LONGEST_UP_MS = 60_000;
/** Held for this long, a rung counts as kept. */
const KEPT_MS = 20_000;

export class UplinkLadder {
  /** @param {Rung} start a phone's first seconds are for the sound, and for whoever looks with a weak phone */
  constructor(start) {
    /** @type {Rung} */
    this.rung = start;
    this.upMs = UP_MS;
    /** @type {number | null} */
    this.badSince = null;
    /** @type {number | null} */
    this.goodSince = null;
    /** @type {number | null} */
    this.climbedAt = null;
  }

  /**
   * @param {number} nowMs
   * @param {Sample} sample
   * @returns {Rung}
   */
  update(nowMs, sample) {
    const isBad = this.isBad(sample);
    const isGood = !isBad && this.isGood(sample);
    this.badSince = isBad ? this.badSince ?? nowMs : null;
    this.goodSince = isGood ? this.goodSince ?? nowMs : null;
    if (this.climbedAt !== null && nowMs - this.climbedAt > KEPT_MS) {
      this.climbedAt = null;
      this.upMs = UP_MS;
    }
    if (this.badSince !== null && nowMs - this.badSince >= DOWN_MS) this.goDown(nowMs, sample);
    else if (this.goodSince !== null && nowMs - this.goodSince >= this.upMs) this.goUp(nowMs);
    return this.rung;
  }

  /** Nothing is sent for a while: what was seen before says nothing of afterwards. */
  rest() {
    this.badSince = this.goodSince = this.climbedAt = null;
  }

  /** @param {Sample} sample */
  isBad({ availableBps, loss, rttMs, isLost, wantedBps = Infinity }) {
    if (this.rung === "sound") return false;
    if (isLost || (loss ?? 0) > LOSSY.extreme || (rttMs ?? 0) > SLOW_RTT_MS.extreme) return true;
    if (availableBps !== null) return availableBps < Math.min(NEEDS_BPS[this.rung], wantedBps * OF_WANTED);
    return (loss ?? 0) > LOSSY.poor || (rttMs ?? 0) > SLOW_RTT_MS.poor;
  }

  /** @param {Sample} sample */
  isGood({ availableBps, loss, isLost }) {
    const next = this.above();
    if (!next || isLost) return false;
    // With nothing but sound on the line nobody can measure it: a try is the only way.
    if (this.rung === "sound") return true;
    return availableBps !== null ? availableBps >= OPENS_BPS[next] : (loss ?? 0) < LOSSY.quiet;
  }

  /** @returns {Rung | undefined} */
  above() {
    return RUNGS[RUNGS.indexOf(this.rung) - 1];
  }

  /** @param {number} nowMs @param {Sample} sample */
  goDown(nowMs, { availableBps, isLost }) {
    if (this.climbedAt !== null) this.upMs = Math.min(LONGEST_UP_MS, this.upMs * 2);
    this.climbedAt = null;
    const below = RUNGS.slice(RUNGS.indexOf(this.rung) + 1);
    // Straight to what fits: every rung in between would cost the sound more seconds.
    const fits = availableBps === null || isLost ? below[0] : below.find((rung) => availableBps >= NEEDS_BPS[rung]);
    this.change(fits ?? "sound");
  }

  /** @param {number} nowMs */
  goUp(nowMs) {
    this.climbedAt = nowMs;
    this.change(/** @type {Rung} */ (this.above()));
  }

  /** @param {Rung} rung */
  change(rung) {
    this.rung = rung;
    this.badSince = this.goodSince = null;
  }
}
