/** The side panel with its two tabs: chat and people. */

import { byId } from "../lib/dom.js";

/** @typedef {"chat" | "people"} Tab */

const TABS = /** @type {const} */ (["chat", "people"]);

export class Panel {
  constructor() {
    this.node = byId("panel");
    /** @type {Tab | null} */
    this.shown = null;
    /** Called with the tab that has just been shown. @type {(tab: Tab) => void} */
    this.onShown = () => {};
    /** @type {HTMLElement | null} */
    this.cameFrom = null;
    for (const tab of TABS) {
      byId(`${tab}-open`).addEventListener("click", () => this.toggle(tab));
      byId(`tab-${tab}`).addEventListener("click", () => this.show(tab));
    }
    byId("count").addEventListener("click", () => this.toggle("people"));
    byId("panel-close").addEventListener("click", () => this.close());
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      if (/** @type {HTMLElement} */ (event.target).role !== "tab") return;
      this.show(this.shown === "chat" ? "people" : "chat");
      byId(`tab-${this.shown}`).focus();
    });
  }

  /** @param {Tab} tab */
  toggle(tab) {
    if (this.shown === tab) this.close();
    else this.show(tab);
  }

  /** @param {Tab} tab */
  show(tab) {
    if (!this.shown) this.cameFrom = /** @type {HTMLElement | null} */ (document.activeElement);
    this.shown = tab;
    this.node.hidden = false;
    for (const name of TABS) {
      const isShown = name === tab;
      byId(name).hidden = !isShown;
      byId(`tab-${name}`).setAttribute("aria-selected", String(isShown));
      byId(`tab-${name}`).tabIndex = isShown ? 0 : -1;
      byId(`${name}-open`).setAttribute("aria-expanded", String(isShown));
    }
    if (tab === "chat" && matchMedia("(hover: hover)").matches) byId("chat-text").focus();
    else byId(`tab-${tab}`).focus();
    this.onShown(tab);
  }

  close() {
    this.shown = null;
    this.node.hidden = true;
    for (const name of TABS) byId(`${name}-open`).setAttribute("aria-expanded", "false");
    this.cameFrom?.focus();
  }
}
