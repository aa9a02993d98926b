/** How good somebody's line is: three bars for the eye, a word for everybody. */

import { el, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";

/** @typedef {0 | 1 | 2 | 3} Level 0: gone, 1: weak, 2: fair, 3: good */

/** @type {Record<string, Level>} */
const OF_QUALITY = { excellent: 3, good: 2, poor: 1, lost: 0 };
const WORDS = ["quality.lost", "quality.poor", "quality.weak", "quality.good"];

/** Level of a livekit ConnectionQuality; null while nobody knows. @param {string} quality @returns {Level | null} */
export const levelOf = (quality) => OF_QUALITY[quality] ?? null;

/** @param {Level} level */
export const wordOf = (level) => t(WORDS[level]);

/** Bars with their word beside them, hidden until the level is known. */
export function makeBars() {
  const word = el("span", { class: "bars-word" });
  const node = el("span", { class: "link-bars", hidden: true },
    el("span", { class: "bars", "aria-hidden": "true" }, el("i"), el("i"), el("i")), word);
  return {
    node,
    /** @param {Level | null} level */
    show(level) {
      node.hidden = level === null;
      if (level === null) return;
      node.dataset.level = String(level);
      setText(word, wordOf(level));
    },
  };
}
