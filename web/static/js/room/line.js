/** One calm line over the stage: what the network does to the picture, gone again by itself. */

import { byId, setText } from "../lib/dom.js";

const SHOWN_MS = 6000;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Show a line for a while. The element is a polite live region, so it is also spoken.
 * @param {string} text empty: take the line away
 * @param {{ stays?: boolean }} [options] `stays`: until the next call
 */
export function sayLine(text, { stays = false } = {}) {
  const node = byId("line");
  clearTimeout(timer);
  // Emptied, not hidden: screen readers miss the first words of a region that has just appeared.
  setText(node, text);
  if (text && !stays) timer = setTimeout(() => setText(node, ""), SHOWN_MS);
}
