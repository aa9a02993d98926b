/**
 * What the rep is told of the own sender: bars, and one line of words for each rung. They speak of
 * what HQ sees, since the rep's own screen goes on as before.
 */

import { t } from "../lib/page.js";
import { keepLine, sayLine } from "../room/line.js";
import { RUNGS } from "./uplink_ladder.js";

/** @typedef {import("./uplink_ladder.js").Rung} Rung */

/** @type {Record<Rung, import("../room/bars.js").Level>} */
const LEVEL_OF_RUNG = { full: 3, reduced: 2, slow: 1, sound: 0 };
/** A try that fails is over by then (three bad seconds, seen once a second): better is said only of what has held. */
const SETTLE_MS = 6000;

export class RungWords {
  /** @param {{ setSent: (level: import("../room/bars.js").Level) => void }} bars */
  constructor(bars) {
    this.bars = bars;
    /** What the person knows of; the rung a walk begins with is no weak line. @type {Rung} */
    this.said = "full";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /**
   * @param {Rung} rung
   * @param {boolean} isSharp only one sharp layer is sent on every rung: it gets slower, not smaller
   */
  change(rung, isSharp) {
    clearTimeout(this.timer);
    if (rung === this.said) return;
    const isUp = RUNGS.indexOf(rung) < RUNGS.indexOf(this.said);
    this.timer = setTimeout(() => this.say(rung, isUp, isSharp), isUp ? SETTLE_MS : 0);
  }

  /** @param {Rung} rung @param {boolean} isUp @param {boolean} isSharp */
  say(rung, isUp, isSharp) {
    this.said = rung;
    this.bars.setSent(LEVEL_OF_RUNG[rung]);
    const words = t(`uplink.${isUp ? "up" : "down"}.${rung === "reduced" && isSharp ? "sharp" : rung}`);
    // Without a picture the line stays: whoever films must know that nobody sees it.
    keepLine(rung === "sound" ? words : "");
    if (rung !== "sound") sayLine(words);
  }
}
