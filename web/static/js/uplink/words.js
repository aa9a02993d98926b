/**
 * What a person is told of the own sender: bars, and one line of words for each rung. They speak of
 * what the others see, since the own screen goes on as before.
 */

import { t } from "../lib/page.js";
import { keepLine, sayLine } from "../room/line.js";
import { RUNGS } from "./ladder.js";

/** @typedef {import("./ladder.js").Rung} Rung */

/** @type {Record<Rung, import("../room/bars.js").Level>} */
const LEVEL_OF_RUNG = { full: 3, reduced: 2, slow: 1, sound: 0 };
/** A try that fails is over by then (three bad seconds, seen once a second): better is said only of what has held. */
const SETTLE_MS = 6000;

export class RungWords {
  /**
   * @param {{ setSent: (level: import("../room/bars.js").Level) => void }} bars
   * @param {string} prefix of its texts
   */
  constructor(bars, prefix) {
    this.bars = bars;
    this.prefix = prefix;
    /** What the person knows of; the rung one begins with is no weak line. @type {Rung} */
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

  /** The camera is off: nobody waits for its picture. */
  rest() {
    clearTimeout(this.timer);
    if (this.said === "sound") keepLine("");
    this.said = "full";
    this.bars.setSent(3);
  }

  /** @param {Rung} rung @param {boolean} isUp @param {boolean} isSharp */
  say(rung, isUp, isSharp) {
    this.said = rung;
    this.bars.setSent(LEVEL_OF_RUNG[rung]);
    const words = t(`${this.prefix}.${isUp ? "up" : "down"}.${rung === "reduced" && isSharp ? "sharp" : rung}`);
    // Without a picture the line stays: whoever films must know that nobody sees it.
    keepLine(rung === "sound" ? words : "");
    if (rung !== "sound") sayLine(words);
  }
}
