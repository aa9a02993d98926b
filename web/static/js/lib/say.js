/** Telling people: short notes on the screen, and the same words for screen readers. */

import { el } from "./dom.js";

const SHOWN_MS = 5000;

/** @param {string} id @param {"polite" | "assertive"} urgency */
function region(id, urgency) {
  let node = document.getElementById(id);
  if (!node) {
    node = el("div", { id, class: "sr-only", "aria-live": urgency, "aria-atomic": "true" });
    document.body.append(node);
  }
  return node;
}

/**
 * Say something to screen readers only.
 * @param {string} text
 * @param {{ urgent?: boolean }} [options]
 */
export function announce(text, { urgent = false } = {}) {
  const node = region(urgent ? "say-now" : "say", urgent ? "assertive" : "polite");
  node.textContent = "";
  // A fresh text node makes readers speak even when the words are the same as before.
  requestAnimationFrame(() => node.append(text));
}

/**
 * Show a note for a while and speak it.
 * @param {string} text
 * @param {{ action?: string, onAction?: () => void, urgent?: boolean, shownMs?: number }} [options]
 *   `action`: words of a button on the note (undo); notes with a button stay twice as long.
 */
export function note(text, { action, onAction, urgent = false, shownMs = action ? SHOWN_MS * 2 : SHOWN_MS } = {}) {
  let holder = document.querySelector(".toasts");
  if (!holder) {
    holder = el("div", { class: "toasts" });
    document.body.append(holder);
  }
  const toast = el("div", { class: "toast" }, el("span", {}, text));
  if (action && onAction) {
    toast.append(el("button", { type: "button", on: { click: () => { toast.remove(); onAction(); } } }, action));
  }
  while (holder.children.length >= 3) holder.firstElementChild?.remove();
  holder.append(toast);
  announce(text, { urgent });
  setTimeout(() => toast.remove(), shownMs);
}

/** Vibrate where the device can: the rep looks at the shelf, not at the phone. @param {number | number[]} pattern */
export function buzz(pattern) {
  try {
    navigator.vibrate?.(pattern);
  } catch {
    // Some in-app browsers throw instead of returning false.
  }
}
