/** Meetings and walks that are over, and how everybody's line was in them. */

import { get, part } from "../lib/api.js";
import { byId, el, icon } from "../lib/dom.js";
import { whyWords } from "../lib/lines.js";
import { openDialog } from "../lib/link_card.js";
import { t } from "../lib/page.js";
import { exactTime, sayLength, sayTime } from "../lib/when.js";

/** @typedef {{ id: string, room: string, title: string, started_at: string, ended_at: string, num_people: number }} Past */

const SHOWN = 5;
const REFRESH_MS = 10_000;

/** @param {Past} past */
function row(past) {
  const lengthS = (Date.parse(past.ended_at) - Date.parse(past.started_at)) / 1000;
  return el("li", {}, el("button", { class: "row row-button", type: "button", data: { room: past.room }, on: { click: () => openLines(past) } },
    el("span", { class: "row-sign" }, icon("people")),
    el("span", { class: "row-text" },
      el("span", { class: "row-title" }, past.title),
      el("span", { class: "row-sub" },
        el("time", { datetime: past.started_at, title: exactTime(past.started_at) }, sayTime(past.started_at)),
        el("span", {}, sayLength(lengthS)),
        el("span", {}, t("home.people", { n: past.num_people })))),
    el("span", { class: "row-end" }, el("span", { class: "row-what" }, t("home.past_lines")), icon("right", "icon-s"))));
}

/** How it was for everybody, the worst first. @param {Past} past */
async function openLines(past) {
  const list = el("ul", { class: "line-list", "aria-busy": "true" }, el("li", { class: "skeleton row-skeleton" }));
  openDialog("past-title", t("home.past_lines"), el("p", { class: "quiet" }, `${past.title} · ${sayTime(past.started_at)}`), list);
  try {
    /** @type {{ people: import("../lib/lines.js").PersonLine[] }} */
    const { people } = await get(`/api/rooms/${part(past.room)}/sessions/${part(past.id)}/quality`);
    people.sort((a, b) => b.bad_s - a.bad_s);
    list.replaceChildren(...people.map((line) => el("li", { class: line.bad_s ? "bad" : "" },
      el("b", {}, line.name || line.identity), el("span", {}, whyWords(line)),
      line.bad_s ? el("small", { class: "quiet" }, t("replay.line_bad", { length: sayLength(line.bad_s) })) : null)));
    if (!people.length) list.replaceChildren(el("li", {}, t("people.line_unknown")));
  } catch {
    list.replaceChildren(el("li", {}, t("common.cannot_load")));
  }
  list.removeAttribute("aria-busy");
}

/** Fill the section and keep it fresh; it hides while there is nothing to show. */
export function keepPast() {
  let shown = "";
  const refresh = async () => {
    if (document.visibilityState !== "visible") return;
    try {
      /** @type {{ sessions: Past[] }} */
      const { sessions } = await get("/api/sessions");
      const some = sessions.slice(0, SHOWN);
      const fresh = JSON.stringify(some);
      if (fresh === shown) return;
      shown = fresh;
      byId("past-list").replaceChildren(...some.map(row));
      byId("past").hidden = !some.length;
    } catch {
      // What is shown stays; the next round asks again.
    }
  };
  refresh();
  setInterval(refresh, REFRESH_MS);
}
