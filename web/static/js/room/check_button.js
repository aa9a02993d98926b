/** The check of the line on the join page: one tap, an answer in words, never in the way of entering. */

import { ApiError } from "../lib/api.js";
import { byId, setText } from "../lib/dom.js";
import { adviceWords } from "../lib/lines.js";
import { t } from "../lib/page.js";
import { checkLine } from "./check.js";

/** @returns {() => void} ends a check that runs: whoever enters needs the line himself */
export function offerCheck() {
  const button = /** @type {HTMLButtonElement} */ (byId("check"));
  const words = byId("check-words");
  /** @type {AbortController | null} */
  let running = null;

  button.addEventListener("click", async () => {
    if (running) return;
    const mine = running = new AbortController();
    button.setAttribute("aria-busy", "true");
    setText(words, t("check.running"));
    try {
      const { usual, ...now } = await checkLine(mine.signal);
      setText(words, usual && usual.grade !== now.grade ? t("check.with_usual", { now: adviceWords(now), usual: adviceWords(usual) }) : adviceWords(now));
    } catch (error) {
      setText(words, mine.signal.aborted ? "" : error instanceof ApiError && error.code !== "offline" ? t("check.later") : t("check.failed"));
    } finally {
      running = null;
      button.removeAttribute("aria-busy");
      setText(/** @type {Element} */ (button.querySelector("span")), t("check.again"));
    }
  });
  button.disabled = false;
  return () => running?.abort();
}
