/** One calm line over the stage: what the network does to the picture, gone again by itself. */

import { byId, setText } from "../lib/dom.js";

const SHOWN_MS = 6000;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** What is shown while there is nothing newer. */
let kept = "";

/**
 * Show a line for a while. The element is a polite live region, so it is also spoken.
 * @param {string} text
 */
export function sayLine(text) {
  clearTimeout(timer);
  // Emptied, not hidden: screen readers miss the first words of a region that has just appeared.
  setText(byId("line"), text);
  timer = setTimeout(() => setText(byId("line"), kept), SHOWN_MS);
}

/**
 * Show a line until the next call, whatever else is said for a while meanwhile.
 * @param {string} text empty: nothing is kept any more
 */
export function keepLine(text) {
  clearTimeout(timer);
  kept = text;
  setText(byId("line"), text);
}
