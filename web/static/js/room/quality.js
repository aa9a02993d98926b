/** Connection bars and the words beside them. */

import { byId, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { announce } from "../lib/say.js";

const WORDS = ["quality.lost", "quality.poor", "quality.weak", "quality.good"];
/** A worse state must last before it is said, so that one bad moment stays unsaid. */
const SETTLE_MS = 3000;

/** @param {import("./session.js").Session} session */
export function showQuality(session) {
  const node = byId("quality");
  const words = byId("quality-words");
  let level = 3;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const show = (/** @type {number} */ next, /** @type {string} */ text) => {
    clearTimeout(timer);
    const apply = () => {
      node.dataset.level = String(next);
      setText(words, text);
      if (next < 2 && next !== level) announce(text);
      level = next;
    };
    if (next < level) timer = setTimeout(apply, SETTLE_MS);
    else apply();
  };
  session.addEventListener("quality", (event) => {
    const { level: next } = /** @type {CustomEvent} */ (event).detail;
    show(next, t(WORDS[next]));
  });
}
