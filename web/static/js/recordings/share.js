/** Sharing a recording: a link that plays this one film, for a while, and can be taken back. */

import { ApiError, get, part, post, remove } from "../lib/api.js";
import { el, icon } from "../lib/dom.js";
import { LinkCard, openDialog } from "../lib/link_card.js";
import { t } from "../lib/page.js";
import { exactTime, sayTime } from "../lib/when.js";

/** @typedef {{ id: string, created_at: string, expires_at: string }} Share */

const DAYS = [1, 14, 90];
const USUAL_DAYS = 14;
const DAY_S = 86_400;
const DAY_MS = DAY_S * 1000;

/** @param {unknown} error */
const wordsOf = (error) => (error instanceof ApiError ? error.message : t("error.unknown"));

/** @param {Share} share */
function leftWords(share) {
  const days = Math.round((Date.parse(share.expires_at) - Date.now()) / DAY_MS);
  return days < 1 ? t("share.left_today") : t("share.left", { n: days });
}

/**
 * Open the dialog.
 * @param {{ id: string, title: string, room: string }} recording
 * @param {() => void} [onChange] links were made or taken back
 */
export function openShare(recording, onChange = () => {}) {
  const path = `/api/recordings/${part(recording.id)}/shares`;
  const card = new LinkCard("share");
  const days = el("select", { class: "input", id: "share-days" }, ...DAYS.map((n) => el("option", { value: n, selected: n === USUAL_DAYS }, t("share.days", { n }))));
  const make = el("button", { class: "button main wide", type: "button" }, icon("link"), el("span", {}, t("share.make")));
  const made = el("div", { class: "invite-code", hidden: true }, card.picture, el("div", { class: "invite-side" }, el("p", { class: "quiet small" }, t("share.made")), card.link, card.copyButton));
  const choose = el("div", { class: "field" }, el("label", { for: "share-days" }, t("share.how_long")), days);
  const list = el("ul", { class: "share-list" });
  const listed = el("section", { hidden: true }, el("h3", {}, t("share.links")), list);

  /** @param {Share} share */
  function row(share) {
    const words = t("share.made_at", { when: sayTime(share.created_at) });
    const back = el("button", { class: "button", type: "button", "aria-label": `${t("share.withdraw")} ${words}`, on: { click: () => withdraw(share) } }, t("share.withdraw"));
    return el("li", {}, el("span", {}, words, el("small", { class: "quiet", title: exactTime(share.expires_at) }, leftWords(share))), back);
  }

  async function refresh() {
    try {
      /** @type {{ shares: Share[] }} */
      const { shares } = await get(path);
      list.replaceChildren(...shares.map(row));
      listed.hidden = !shares.length;
    } catch (error) {
      card.fail(wordsOf(error));
    }
  }

  /** @param {Share} share */
  async function withdraw(share) {
    card.problem.hidden = true;
    try {
      await remove(`${path}/${part(share.id)}`);
      // A code shown above may be the one that opens nothing any more.
      made.hidden = true;
      choose.hidden = make.hidden = false;
    } catch (error) {
      card.fail(wordsOf(error));
    }
    await refresh();
    onChange();
    make.focus();
  }

  make.addEventListener("click", async () => {
    make.disabled = true;
    card.wait();
    try {
      const link = await post(path, { lifetime_s: Number(days.value) * DAY_S });
      await card.show(link);
      made.hidden = false;
      choose.hidden = make.hidden = true;
      card.copyButton.focus();
    } catch (error) {
      card.fail(wordsOf(error));
    }
    make.disabled = false;
    await refresh();
    onChange();
  });
  const lead = el("p", { class: "quiet small" }, t("share.lead"));
  const dialog = openDialog("share-title", t("share.title"), el("p", { class: "share-what" }, recording.title || recording.room), lead, choose, made, card.problem, make, listed);
  refresh();
  return dialog;
}
