/** Rows of the recordings list, on the home page and on its own page. */

import { get, part } from "../lib/api.js";
import { el, icon } from "../lib/dom.js";
import { hasText, t } from "../lib/page.js";
import { exactTime, sayLength, saySize, sayTime } from "../lib/when.js";
import { openShare } from "./share.js";

/**
 * @typedef {object} Recording
 * @property {string} id
 * @property {string} title
 * @property {string} room
 * @property {"recording" | "finishing" | "ready" | "failed"} state
 * @property {number | null} progress 0 to 1
 * @property {string} started_at
 * @property {number | null} duration_s
 * @property {number | null} size_bytes
 * @property {{ name: string, joined_s: number, is_camera?: boolean }[]} participants
 * @property {string | null} error_code
 * @property {string | null} cut_short why it ended although nobody ended it
 * @property {boolean} is_shared
 */

const LOOK = { recording: "live", finishing: "wait", ready: "good", failed: "idle" };
const BUSY_MS = 2000;
const CALM_MS = 15_000;

/** @param {Recording} recording */
function facts(recording) {
  // Until it is finished the server knows identities only, which say nothing to people.
  const people = recording.participants.filter((one) => !one.is_camera);
  const names = recording.state === "ready" ? (people.length ? people : recording.participants).map((one) => one.name) : [];
  const listed = names.length > 3 ? t("recordings.people_more", { names: names.slice(0, 3).join(t("common.comma")), n: names.length }) : names.join(t("common.comma"));
  return [
    el("time", { datetime: recording.started_at, title: exactTime(recording.started_at) }, sayTime(recording.started_at)),
    recording.duration_s ? el("span", {}, sayLength(recording.duration_s)) : null,
    recording.is_shared ? el("span", {}, t("recordings.shared")) : null,
    recording.state === "ready" && recording.size_bytes ? el("span", {}, saySize(recording.size_bytes)) : null,
    listed ? el("span", {}, listed) : null,
  ];
}

/** Why it failed and what is done about it. @param {Recording} recording */
function failure(recording) {
  const key = `recordings.failed.${recording.error_code}`;
  return t(hasText(key) ? key : "recordings.failed.unknown");
}

/** What is missing at its end, and why. @param {Recording} recording */
function cutShort(recording) {
  const key = `recordings.cut_short.${recording.cut_short}`;
  return t(hasText(key) ? key : "recordings.cut_short.interrupted");
}

/** @param {Recording} recording @param {() => void} refresh */
function row(recording, refresh) {
  const isReady = recording.state === "ready";
  const text = el("div", { class: "row-text" },
    el("p", { class: "row-title" }, recording.title || recording.room),
    el("p", { class: "row-sub" }, ...facts(recording)));
  if (recording.cut_short && recording.state !== "failed") text.append(el("p", { class: "row-sub" }, cutShort(recording)));
  if (recording.state === "failed") text.append(el("p", { class: "row-sub" }, failure(recording)));
  if (recording.state === "finishing") {
    const done = Math.round((recording.progress ?? 0) * 100);
    const bar = el("div", { class: "row-progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": done, "aria-label": t("recordings.state.finishing") }, el("i"));
    /** @type {HTMLElement} */ (bar.firstElementChild).style.width = `${done}%`;
    text.append(bar);
  }
  const inside = [
    el("span", { class: `row-sign ${recording.state === "recording" ? "live" : ""}` }, icon(recording.state === "failed" ? "alert" : recording.state === "recording" ? "record" : "film")),
    text,
    el("div", { class: "row-end" }, el("span", { class: `chip ${LOOK[recording.state]}` }, t(`recordings.state.${recording.state}`)), isReady && icon("right", "icon-s")),
  ];
  const attributes = { class: "row stacked", data: { state: recording.state, id: recording.id } };
  if (!isReady) return el("li", {}, el("div", attributes, ...inside));
  const share = el("button", {
    class: "button row-share", type: "button", "aria-label": t("share.open_named", { title: recording.title || recording.room }),
    on: { click: () => openShare(recording, refresh) },
  }, icon("invite"), el("span", {}, t("share.open")));
  return el("li", { class: "row-with-share" }, el("a", { ...attributes, href: `/recordings/${part(recording.id)}` }, ...inside), share);
}

/** @param {string} title @param {string} why @param {string} [sign] */
export function emptyRow(title, why, sign = "film") {
  return el("li", { class: "empty" }, el("span", { class: "row-sign" }, icon(sign)), el("div", {}, el("strong", {}, title), el("p", {}, why)));
}

/**
 * Fill a list and keep it fresh: often while something is being recorded or finished.
 * @param {HTMLElement} list
 * @param {{ limit?: number }} [options]
 */
export function keepRecordings(list, { limit = Infinity } = {}) {
  let shown = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const refresh = async () => {
    clearTimeout(timer);
    let wait = CALM_MS;
    try {
      /** @type {{ recordings: Recording[] }} */
      const { recordings } = await get("/api/recordings");
      const some = recordings.slice(0, limit);
      if (some.some((recording) => recording.state === "recording" || recording.state === "finishing")) wait = BUSY_MS;
      const fresh = JSON.stringify(some);
      if (fresh !== shown) {
        shown = fresh;
        list.replaceChildren(...(some.length ? some.map((one) => row(one, refresh)) : [emptyRow(t("recordings.none"), t("recordings.none_why"))]));
      }
      list.removeAttribute("aria-busy");
    } catch {
      wait = CALM_MS;
      if (!shown) list.replaceChildren(emptyRow(t("common.cannot_load"), t("common.trying_again"), "alert"));
    }
    timer = setTimeout(refresh, document.visibilityState === "visible" ? wait : CALM_MS * 4);
  };
  refresh();
}
