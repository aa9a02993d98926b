/** “Which store?”: free text, with the stores that are known offered, the latest first. */

import { get } from "../lib/api.js";
import { el } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { note } from "../lib/say.js";

/** Typing has paused for so long: what stands there is meant. */
const PAUSE_MS = 700;

/** @param {(place: string) => Promise<void>} onName keeps the name */
export function storeField(onName) {
  const known = el("datalist", { id: "invite-stores" });
  const input = el("input", { class: "input", id: "invite-store", list: "invite-stores", maxlength: 60, autocomplete: "off", placeholder: t("invite.store_example") });
  let kept = "";
  /** One after the other, so that the last name stays. */
  let keeping = Promise.resolve();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const keep = () => {
    clearTimeout(timer);
    const name = input.value.trim();
    if (name === kept) return;
    kept = name;
    keeping = keeping.then(() => onName(name)).catch(() => {
      kept = "";
      note(t("invite.store_not_kept"), { urgent: true });
    });
  };
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(keep, PAUSE_MS); });
  input.addEventListener("change", keep);
  get("/api/places").then(({ places }) => {
    known.replaceChildren(...places.map((/** @type {string} */ name) => el("option", { value: name })));
  }).catch(() => {});
  return el("div", { class: "field" }, el("label", { for: "invite-store" }, t("invite.store")), input, known);
}
