/** The invitation dialog: who is invited, a QR code, a link. Used on the home page and in rooms. */

import { ApiError, post } from "../lib/api.js";
import { el, icon } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { note } from "../lib/say.js";

/** @typedef {"guest" | "walker" | "viewer"} Kind */

const KINDS = /** @type {const} */ ([["guest", "camera"], ["walker", "walk"], ["viewer", "listen"]]);

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** @param {Kind} kind @param {(kind: Kind) => void} onPick */
function kindButtons(kind, onPick) {
  const group = el("div", { class: "invite-kinds", role: "radiogroup", "aria-label": t("invite.kind") });
  const buttons = KINDS.map(([name, sign]) => el("button", {
    type: "button", role: "radio", data: { kind: name },
    on: { click: () => { show(name); onPick(name); } },
  }, icon(sign), el("span", {}, t(`invite.kind.${name}`))));
  const show = (/** @type {string} */ chosen) => {
    for (const button of buttons) {
      const isChosen = button.dataset.kind === chosen;
      button.setAttribute("aria-checked", String(isChosen));
      button.tabIndex = isChosen ? 0 : -1;
    }
  };
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = buttons.findIndex((button) => button === document.activeElement);
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
  show(kind);
  group.append(...buttons);
  return group;
}

/**
 * Open the dialog.
 * @param {string} room
 * @param {{ kind?: Kind, enterUrl?: string }} [options] `enterUrl`: adds “enter the room myself”
 */
export function openInvite(room, { kind = "guest", enterUrl } = {}) {
  const picture = el("div", { class: "invite-picture" }, el("div", { class: "skeleton" }));
  const link = el("input", { class: "invite-link", readonly: true, "aria-label": t("invite.link"), on: { focus: () => link.select() } });
  const hint = el("p", { class: "quiet small" });
  const problem = el("p", { class: "field-error", role: "alert", hidden: true });
  const name = el("input", { class: "input", id: "invite-name", maxlength: 40, autocomplete: "off", placeholder: t("invite.name_example") });
  const copyButton = el("button", { class: "button main wide", type: "button" }, icon("copy"), el("span", {}, t("invite.copy")));
  const close = el("button", { class: "icon-button", type: "button", "aria-label": t("common.close"), on: { click: () => dialog.close() } }, icon("close"));
  const dialog = el("dialog", { "aria-labelledby": "invite-title" },
    el("div", { class: "dialog-head" }, el("h2", { id: "invite-title" }, t("invite.title")), close),
    el("div", { class: "dialog-body" },
      kindButtons(kind, (chosen) => { kind = chosen; refresh(); }),
      el("div", { class: "invite-code" }, picture,
        el("div", { class: "invite-side" }, hint,
          el("div", { class: "field" }, el("label", { for: "invite-name" }, t("invite.name")), name), link)),
      problem, copyButton,
      enterUrl && el("a", { class: "button wide tall", href: enterUrl }, t("invite.enter"), icon("right"))));
  let asked = 0;

  async function refresh() {
    const mine = ++asked;
    hint.textContent = t(`invite.hint.${kind}`);
    copyButton.disabled = true;
    problem.hidden = true;
    try {
      const made = await post("/api/invites", { room, role: kind, name: name.value.trim() });
      if (mine !== asked) return;
      const url = new URL(made.url, location.href).href;
      link.value = url;
      picture.replaceChildren(el("img", { src: made.qr_svg_url, width: 176, height: 176, alt: t("invite.qr_alt") }));
      copyButton.disabled = false;
    } catch (error) {
      if (mine !== asked) return;
      problem.textContent = error instanceof ApiError ? error.message : t("error.unknown");
      problem.hidden = false;
    }
  }
  copyButton.addEventListener("click", async () => {
    if (await copy(link.value)) note(t("invite.copied"));
    else link.focus();
  });
  name.addEventListener("change", refresh);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  refresh();
  return dialog;
}
