/** What covers the stage: joining, reconnecting, the end; and the one tap that unlocks sound. */

import { byId, el, icon } from "../lib/dom.js";
import { hasText, page, t } from "../lib/page.js";
import { announce, buzz } from "../lib/say.js";
import { livekit } from "../media/livekit.js";
import { isLineAlive } from "./comeback.js";

/** Short breaks pass without words; the picture simply stands still. */
const SAID_AFTER_MS = 700;
/** What still works is looked at this often. */
const LOOK_MS = 2000;
/** After this long the person is told what he himself could do. */
const LONG_MS = 60_000;

/** @param {import("./session.js").Session} session */
export function showCover(session) {
  const cover = byId("cover");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const hide = () => { clearTimeout(timer); timer = undefined; cover.hidden = true; cover.replaceChildren(); };

  const show = (/** @type {string} */ kind, /** @type {string} */ title, /** @type {(Node | string | false)[]} */ ...rest) => {
    cover.dataset.kind = kind;
    cover.replaceChildren(el("div", { class: "cover-box" }, el("p", { class: "cover-title", id: "cover-title" }, title), ...rest));
    cover.hidden = false;
    announce(title, { urgent: kind === "out" });
    /** @type {HTMLElement | null} */ (cover.querySelector(".main"))?.focus();
  };

  const wait = async (/** @type {boolean} */ hasMedia) => {
    const began = performance.now();
    let said = "";
    const tell = async () => {
      const mine = timer;
      const isLong = performance.now() - began > LONG_MS;
      const key = hasMedia && await isLineAlive(session.room) ? "stage.reconnecting_with_media" : isLong ? "stage.reconnecting_long" : "stage.reconnecting_help";
      // Over meanwhile, or in another state.
      if (mine !== timer) return;
      if (key !== said) show("wait", t("quality.reconnecting"), el("p", { class: "quiet" }, t(key)));
      said = key;
      timer = setTimeout(tell, LOOK_MS);
    };
    await tell();
  };

  const over = (/** @type {string} */ reason) => {
    buzz(200);
    const again = el("button", { class: "button main wide", type: "button", on: { click: () => location.reload() } }, t(reason === "lost" ? "stage.out.continue" : hasText("walk.out.again") ? "walk.out.again" : "stage.out.again"));
    const home = page.is_host && el("a", { class: "button wide", href: "/" }, t("stage.out.home"));
    const call = page.phone && el("a", { class: "button plain wide", href: `tel:${page.phone}` }, icon("phone"), t("join.call_host"));
    const words = hasText(`walk.out.${reason}`) ? "walk.out" : "stage.out";
    show("out", t(`${words}.${reason}`), el("p", { class: "quiet" }, t(`${words}.${reason}_help`)), el("div", { class: "cover-actions" }, again, home, call));
  };

  session.addEventListener("state", (event) => {
    const { state, reason, hasMedia } = /** @type {CustomEvent} */ (event).detail;
    hide();
    if (state === "reconnecting") timer = setTimeout(() => wait(hasMedia), SAID_AFTER_MS);
    if (state === "out") over(reason);
  });
}

/** One tap lets the browser play sound. @param {any} room */
export function showSoundUnlock(room) {
  const button = byId("sound-unlock");
  const update = () => { button.hidden = room.canPlaybackAudio; };
  room.on(livekit.RoomEvent.AudioPlaybackStatusChanged, update);
  button.addEventListener("click", () => room.startAudio().catch(() => {}).finally(update));
}

/** Play what others say. @param {any} room */
export function playVoices(room) {
  const holder = byId("speakers");
  const { RoomEvent } = livekit;
  room.on(RoomEvent.TrackSubscribed, (/** @type {any} */ track) => {
    if (track.kind === "audio") holder.append(track.attach());
  });
  room.on(RoomEvent.TrackUnsubscribed, (/** @type {any} */ track) => {
    if (track.kind === "audio") for (const node of track.detach()) node.remove();
  });
}
