/** Keys on the desktop, and the list of them. */

import { el, icon } from "../lib/dom.js";
import { t } from "../lib/page.js";

/** @typedef {{ key: string, words: string, run: () => void, shown?: string }} Shortcut */

/** Show the list of keys. @param {Shortcut[]} shortcuts */
export function showKeys(shortcuts) {
  if (document.getElementById("keys-dialog")) return;
  const close = el("button", { class: "icon-button", type: "button", "aria-label": t("common.close"), on: { click: () => dialog.close() } }, icon("close"));
  const dialog = el("dialog", { id: "keys-dialog", "aria-labelledby": "keys-title" },
    el("div", { class: "dialog-head" }, el("h2", { id: "keys-title" }, t("keys.title")), close),
    el("dl", { class: "dialog-body keys" }, ...shortcuts.flatMap(({ key, words, shown }) => [el("dt", {}, el("kbd", {}, shown ?? key.toUpperCase())), el("dd", {}, words)])));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {Shortcut[]} shortcuts */
export function listenForKeys(shortcuts) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("input:not([type=range]), textarea, select, dialog, [role=menu]")) return;
    if (event.key === " " && target.closest("button, a")) return;
    const found = shortcuts.find(({ key }) => key === event.key || key === event.key.toLowerCase());
    if (!found) return;
    event.preventDefault();
    found.run();
  });
}
