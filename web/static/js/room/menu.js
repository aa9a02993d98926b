/** A small menu at a button: devices, more. Arrow keys, Escape, click outside. */

import { el, icon } from "../lib/dom.js";

/**
 * @typedef {object} Item
 * @property {string} text
 * @property {string} [sign]
 * @property {boolean} [isChosen] given: one of several choices
 * @property {boolean} [isHeading]
 * @property {() => void} [onPick]
 * @property {string} [id]
 */

/** @type {(() => void) | null} */
let closeOpen = null;

/** Whether a menu is open. */
export const isMenuOpen = () => closeOpen !== null;

/** @param {Item} item @param {() => void} close */
function entry(item, close) {
  if (item.isHeading) return el("p", { class: "menu-heading", role: "presentation" }, item.text);
  const isChoice = item.isChosen !== undefined;
  return el("button", {
    type: "button", class: "menu-item", id: item.id, tabindex: -1,
    role: isChoice ? "menuitemradio" : "menuitem", "aria-checked": isChoice ? String(item.isChosen) : undefined,
    on: { click: () => { close(); item.onPick?.(); } },
  }, item.sign ? icon(item.sign) : isChoice ? el("span", { class: "menu-check" }, item.isChosen && icon("check", "icon-s")) : null, el("span", {}, item.text));
}

/**
 * Open a menu at a button, or close it when it is open.
 * @param {HTMLElement} opener
 * @param {Item[]} items
 */
export function openMenu(opener, items) {
  const wasOpen = opener.getAttribute("aria-expanded") === "true";
  closeOpen?.();
  if (wasOpen) return;
  const menu = el("div", { class: "menu", role: "menu", "aria-label": opener.getAttribute("aria-label") || opener.textContent || "" });
  const close = () => {
    menu.remove();
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    closeOpen = null;
  };
  const outside = (/** @type {Event} */ event) => {
    const target = /** @type {Node} */ (event.target);
    if (!menu.contains(target) && !opener.contains(target)) close();
  };
  menu.append(...items.map((item) => entry(item, close)));
  menu.addEventListener("keydown", (event) => {
    const buttons = [...menu.querySelectorAll("button")];
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    if (event.key === "Escape" || event.key === "Tab") {
      if (event.key === "Escape") event.preventDefault();
      event.stopPropagation();
      close();
      opener.focus();
    }
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) {
      event.preventDefault();
      buttons[(at + step + buttons.length) % buttons.length]?.focus();
    }
  });
  document.addEventListener("pointerdown", outside, true);
  opener.setAttribute("aria-expanded", "true");
  closeOpen = close;
  (opener.closest(".stage") ?? document.body).append(menu);
  place(menu, opener);
  /** @type {HTMLElement | null} */ (menu.querySelector("[aria-checked='true']") ?? menu.querySelector("button"))?.focus();
}

/** @param {HTMLElement} menu @param {HTMLElement} opener */
function place(menu, opener) {
  const at = opener.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left + at.width / 2 - menu.offsetWidth / 2), innerWidth - menu.offsetWidth - 8);
  menu.style.left = `${left}px`;
  // Above where there is room for it, else below.
  if (at.top - menu.offsetHeight > 16) menu.style.bottom = `${innerHeight - at.top + 8}px`;
  else menu.style.top = `${at.bottom + 4}px`;
}
