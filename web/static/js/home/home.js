/** The home page: what is live, cameras, recordings; starting and inviting. */

import { ApiError, call, get, part, post } from "../lib/api.js";
import { byId, el, icon } from "../lib/dom.js";
import { applyTextSize } from "../lib/kept.js";
import { page, t } from "../lib/page.js";
import { note } from "../lib/say.js";
import { sayTime } from "../lib/when.js";
import { emptyRow, keepRecordings } from "../recordings/rows.js";
import { keepCameras } from "./cameras.js";
import { openInvite } from "./invite.js";
import { keepPast } from "./past.js";

/**
 * @typedef {object} LiveRoom
 * @property {string} name
 * @property {string} title
 * @property {number} num_people
 * @property {string} started_at
 * @property {boolean} is_recording
 */

const REFRESH_MS = 4000;
const live = byId("live");
let shown = "";

/** @param {LiveRoom} room */
function liveCard(room) {
  const url = `/room/${part(room.name)}`;
  return el("li", { class: "card live-card", data: { room: room.name } },
    el("div", { class: "live-card-head" },
      el("div", {}, el("h3", {}, room.title || room.name),
        el("p", { class: "row-sub" }, el("span", {}, t("home.people", { n: room.num_people })), el("span", {}, t("home.since", { when: sayTime(room.started_at) })))),
      room.is_recording ? el("span", { class: "chip live" }, t("home.recording")) : el("span", { class: "chip good" }, t("home.live_now"))),
    el("div", { class: "live-card-actions" },
      el("a", { class: "button", href: url }, t("home.enter")),
      el("button", { class: "button plain", type: "button", on: { click: () => openInvite(room.name, { kind: "walker" }) } }, icon("invite"), el("span", {}, t("home.invite")))));
}

async function refreshLive() {
  try {
    /** @type {{ rooms: LiveRoom[] }} */
    const { rooms } = await get("/api/rooms");
    const busy = rooms.filter((room) => room.num_people > 0);
    const fresh = JSON.stringify(busy);
    if (fresh === shown) return;
    shown = fresh;
    live.removeAttribute("aria-busy");
    live.replaceChildren(...(busy.length ? busy.map(liveCard) : [el("li", { class: "card" }, el("ul", {}, emptyRow(t("home.nobody"), t("home.nobody_why"), "camera")))]));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) location.reload();
    if (!shown) live.replaceChildren(el("li", { class: "card" }, el("ul", {}, emptyRow(t("common.cannot_load"), t("common.trying_again"), "alert"))));
  }
}

/** A room's title when nobody gave one: “11月22日 15:04 会议”. @param {string} key @param {string} [place] */
function titleNow(key, place = "") {
  const now = new Date();
  const day = new Intl.DateTimeFormat(page.language, { month: "short", day: "numeric" }).format(now);
  const clock = new Intl.DateTimeFormat(page.language, { hour: "2-digit", minute: "2-digit", hour12: false }).format(now);
  return t(key, { day, clock, place });
}

/** @param {HTMLElement} button @param {(room: string) => void} then @param {string} titleKey */
async function withNewRoom(button, titleKey, then) {
  button.setAttribute("aria-busy", "true");
  try {
    then((await post("/api/rooms", { title: titleNow(titleKey) })).name);
  } catch (error) {
    note(error instanceof ApiError ? error.message : t("error.unknown"), { urgent: true });
  } finally {
    button.removeAttribute("aria-busy");
  }
}

applyTextSize();
byId("today").textContent = new Intl.DateTimeFormat(page.language, { month: "long", day: "numeric", weekday: "long" }).format(new Date());
const meeting = byId("start-meeting");
meeting.addEventListener("click", () => withNewRoom(meeting, "home.meeting_title", (room) => { location.href = `/room/${part(room)}`; }));
const walk = byId("start-walk");
walk.addEventListener("click", () => withNewRoom(walk, "home.walk_title", (room) => openInvite(room, {
  kind: "walker",
  enterUrl: `/room/${part(room)}`,
  nameStore: (place) => call("PATCH", `/api/rooms/${part(room)}`, {
    place, title: titleNow(place ? "home.walk_title_at" : "home.walk_title", place),
  }),
})));
// Disabled in the page until now, so that no click is lost while the scripts load.
for (const button of [meeting, walk]) /** @type {HTMLButtonElement} */ (button).disabled = false;
refreshLive();
setInterval(() => { if (document.visibilityState === "visible") refreshLive(); }, REFRESH_MS);
keepCameras();
keepRecordings(byId("recording-list"), { limit: 5 });
keepPast();
