/** A dialog, and in it a link to hand out: QR code, address, one button that copies it. */

import { pictureUrl } from "./api.js";
import { el, icon } from "./dom.js";
import { t } from "./page.js";
import { note } from "./say.js";

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export class LinkCard {
  /** @param {string} words prefix of its texts: `invite` or `share` */
  constructor(words) {
    this.words = words;
    this.picture = el("div", { class: "invite-picture" }, el("div", { class: "skeleton" }));
    this.link = el("input", { class: "invite-link", readonly: true, "aria-label": t(`${words}.link`), on: { focus: () => this.link.select() } });
    this.problem = el("p", { class: "field-error", role: "alert", hidden: true });
    this.copyButton = el("button", { class: "button main wide", type: "button", disabled: true, on: { click: () => this.copy() } }, icon("copy"), el("span", {}, t(`${words}.copy`)));
  }

  wait() {
    this.copyButton.disabled = true;
    this.problem.hidden = true;
  }

  /** @param {{ url: string, qr_svg_url: string }} made */
  async show(made) {
    this.link.value = new URL(made.url, location.href).href;
    this.copyButton.disabled = false;
    const src = await pictureUrl(made.qr_svg_url);
    const image = el("img", { src, width: 176, height: 176, alt: t(`${this.words}.qr_alt`), on: { load: () => URL.revokeObjectURL(src) } });
    this.picture.replaceChildren(image);
  }

  /** @param {string} words */
  fail(words) {
    this.problem.textContent = words;
    this.problem.hidden = false;
  }

  async copy() {
    if (await copy(this.link.value)) note(t(`${this.words}.copied`));
    else this.link.focus();
  }
}

/**
 * Open a dialog with a title and a way to close it; it is gone once closed.
 * @param {string} id of the title
 * @param {string} title
 * @param {...(Node | string | null | undefined | false)} body
 */
export function openDialog(id, title, ...body) {
  const close = el("button", { class: "icon-button", type: "button", "aria-label": t("common.close"), on: { click: () => dialog.close() } }, icon("close"));
  const dialog = el("dialog", { "aria-labelledby": id },
    el("div", { class: "dialog-head" }, el("h2", { id }, title), close),
    el("div", { class: "dialog-body" }, ...body));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
