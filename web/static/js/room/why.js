/** For hosts in a room: how somebody's line has been until now, and why. */

import { linesOf, whyWords } from "../lib/lines.js";
import { t } from "../lib/page.js";
import { note } from "../lib/say.js";
import { nameOf } from "./tile.js";

/** @param {any} room @param {any} person */
export async function tellWhy(room, person) {
  try {
    const line = (await linesOf(room.name)).find((one) => one.identity === person.identity);
    note(line ? t("people.line", { name: nameOf(person), why: whyWords(line) }) : t("people.line_unknown"));
  } catch {
    note(t("people.line_unknown"));
  }
}
