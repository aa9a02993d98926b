/** The check of the line on the join page: one tap, an answer in words, never in the way of entering. */

import { ApiError } from "../lib/api.js";
import { byId, setText } from "../lib/dom.js";
import { adviceWords } from "../lib/lines.js";
import { t } from "../lib/page.js";
import { loadLibrary } from "../media/livekit.js";
import { CHECK_MS, checkLine } from "./check.js";

const BAR_MS = 200;

/**
 * @param {boolean} isWalk
 * @param {(advice: import("../lib/lines.js").Advice) => void} onAdvice told what is shown
 * @returns {() => void} ends a check that runs: whoever enters needs the line himself
 */
export function offerCheck(isWalk, onAdvice) {
  const button = /** @type {HTMLButtonElement} */ (byId("check"));
  const words = byId("check-words");
  const bar = /** @type {HTMLProgressElement} */ (byId("check-bar"));
  /** @type {AbortController | null} */
  let running = null;

  button.addEventListener("click", async () => {
    if (running) return;
    const mine = running = new AbortController();
    button.setAttribute("aria-busy", "true");
    setText(words, t("check.running"));
    const began = performance.now();
    const moving = setInterval(() => { bar.value = (performance.now() - began) / CHECK_MS; }, BAR_MS);
    bar.value = 0;
    bar.hidden = false;
    try {
      // The rest of the page would take a part of the line.
      await loadLibrary();
      const { usual, ...now } = await checkLine(mine.signal);
      const isUsual = !usual || usual.grade === now.grade;
      const nowWords = adviceWords(now, isWalk);
      setText(words, isUsual ? nowWords : t("check.with_usual", { now: nowWords, usual: adviceWords(usual, isWalk) }));
      onAdvice(now);
      if (!isUsual) onAdvice(usual);
    } catch (error) {
      setText(words, mine.signal.aborted ? "" : error instanceof ApiError && error.code !== "offline" ? t("check.later") : t("check.failed"));
    } finally {
      running = null;
      clearInterval(moving);
      bar.hidden = true;
      button.removeAttribute("aria-busy");
      setText(/** @type {Element} */ (button.querySelector("span")), t("check.again"));
    }
  });
  button.disabled = false;
  return () => running?.abort();
}
