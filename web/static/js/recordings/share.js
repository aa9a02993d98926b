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

class ShareDialog {
  /** @param {{ id: string, title: string, room: string }} recording @param {() => void} onChange */
  constructor(recording, onChange) {
    this.path = `/api/recordings/${part(recording.id)}/shares`;
    this.onChange = onChange;
    this.card = new LinkCard("share");
    this.days = el("select", { class: "input", id: "share-days" }, ...DAYS.map((n) => el("option", { value: n, selected: n === USUAL_DAYS }, t("share.days", { n }))));
    this.choose = el("div", { class: "field" }, el("label", { for: "share-days" }, t("share.how_long")), this.days);
    this.makeButton = el("button", { class: "button main wide", type: "button", on: { click: () => this.make() } }, icon("link"), el("span", {}, t("share.make")));
    const { picture, link, copyButton, problem } = this.card;
    this.made = el("div", { class: "invite-code", hidden: true }, picture, el("div", { class: "invite-side" }, el("p", { class: "quiet small" }, t("share.made")), link, copyButton));
    this.list = el("ul", { class: "share-list" });
    this.listed = el("section", { hidden: true }, el("h3", {}, t("share.links")), this.list);
    openDialog("share-title", t("share.title"),
      el("p", { class: "share-what" }, recording.title || recording.room), el("p", { class: "quiet small" }, t("share.lead")),
      this.choose, this.made, problem, this.makeButton, this.listed);
    this.refresh();
  }

  /** Show either the new link or what makes one. @param {boolean} isMade */
  showMade(isMade) {
    this.made.hidden = !isMade;
    this.choose.hidden = this.makeButton.hidden = isMade;
    (isMade ? this.card.copyButton : this.makeButton).focus();
  }

  /** @param {Share} share */
  row(share) {
    const words = t("share.made_at", { when: sayTime(share.created_at) });
    const back = el("button", { class: "button", type: "button", "aria-label": `${t("share.withdraw")} ${words}`, on: { click: () => this.withdraw(share) } }, t("share.withdraw"));
    return el("li", {}, el("span", {}, words, el("small", { class: "quiet", title: exactTime(share.expires_at) }, leftWords(share))), back);
  }

  async refresh() {
    try {
      /** @type {{ shares: Share[] }} */
      const { shares } = await get(this.path);
      this.list.replaceChildren(...shares.map((share) => this.row(share)));
      this.listed.hidden = !shares.length;
    } catch (error) {
      this.card.fail(wordsOf(error));
    }
  }

  async make() {
    this.makeButton.disabled = true;
    this.card.wait();
    await this.change(async () => {
      await this.card.show(await post(this.path, { lifetime_s: Number(this.days.value) * DAY_S }));
      this.showMade(true);
    });
    this.makeButton.disabled = false;
  }

  /** A code that is shown may be the one that opens nothing any more. @param {Share} share */
  withdraw(share) {
    return this.change(async () => {
      await remove(`${this.path}/${part(share.id)}`);
      this.showMade(false);
    });
  }

  /** @param {() => Promise<void>} work */
  async change(work) {
    this.card.problem.hidden = true;
    try {
      await work();
    } catch (error) {
      this.card.fail(wordsOf(error));
    }
    await this.refresh();
    this.onChange();
  }
}

/**
 * Open the dialog.
 * @param {{ id: string, title: string, room: string }} recording
 * @param {() => void} [onChange] links were made or taken back
 */
export function openShare(recording, onChange = () => {}) {
  return new ShareDialog(recording, onChange);
}
