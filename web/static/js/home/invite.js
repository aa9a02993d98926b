/** The invitation dialog: who is invited, a QR code, a link. Used on the home page and in rooms. */

import { ApiError, post } from "../lib/api.js";
import { el, icon } from "../lib/dom.js";
import { LinkCard, openDialog } from "../lib/link_card.js";
import { passportWords } from "../lib/lines.js";
import { storeField } from "./store_field.js";
import { t } from "../lib/page.js";

/** @typedef {"guest" | "walker" | "viewer"} Kind */

const KINDS = /** @type {const} */ ([["guest", "camera"], ["walker", "walk"], ["viewer", "listen"]]);

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
 * @param {object} [options]
 * @param {Kind} [options.kind]
 * @param {string} [options.enterUrl] adds “enter the room myself”
 * @param {(place: string) => Promise<void>} [options.nameStore] asks which store it is, and keeps the answer
 */
export function openInvite(room, { kind = "guest", enterUrl, nameStore } = {}) {
  const card = new LinkCard("invite");
  const hint = el("p", { class: "quiet small" });
  const name = el("input", { class: "input", id: "invite-name", maxlength: 40, autocomplete: "off", placeholder: t(nameStore ? "invite.name_only" : "invite.name_example") });
  const usual = el("p", { class: "notice small", hidden: true });
  const store = nameStore && storeField(async (place) => { await nameStore(place); await showUsual(); });
  let asked = 0;
  let looked = 0;

  /** Before a walk: how the line in that place usually is. */
  async function showUsual() {
    const mine = ++looked;
    usual.hidden = true;
    if (kind !== "walker") return;
    const words = await passportWords(room).catch(() => null);
    if (!words || mine !== looked) return;
    usual.textContent = t("invite.usual", { words });
    usual.hidden = false;
  }

  async function refresh() {
    const mine = ++asked;
    hint.textContent = t(`invite.hint.${kind}`);
    card.wait();
    try {
      const made = await post("/api/invites", { room, role: kind, name: name.value.trim() });
      if (mine === asked) await card.show(made);
    } catch (error) {
      if (mine === asked) card.fail(error instanceof ApiError ? error.message : t("error.unknown"));
    }
  }
  name.addEventListener("change", refresh);
  const dialog = openDialog("invite-title", t("invite.title"),
    kindButtons(kind, (chosen) => { kind = chosen; refresh(); showUsual(); }),
    store,
    usual,
    el("div", { class: "invite-code" }, card.picture,
      el("div", { class: "invite-side" }, hint,
        el("div", { class: "field" }, el("label", { for: "invite-name" }, t("invite.name")), name), card.link)),
    card.problem, card.copyButton,
    enterUrl && el("a", { class: "button wide tall", href: enterUrl }, t("invite.enter"), icon("right")));
  refresh();
  showUsual();
  return dialog;
}
