/** Who is here: the list, the count, and the words when somebody comes or goes. */

import { byId, el, icon, setText } from "../lib/dom.js";
import { page, t } from "../lib/page.js";
import { announce, note } from "../lib/say.js";
import { livekit } from "../media/livekit.js";
import { levelOf, makeBars } from "./bars.js";
import { handOf } from "./hand.js";
import { isLeaving, openPersonMenu } from "./manage.js";
import { isMenuOpen } from "./menu.js";
import { initialOf, kindOf, nameOf } from "./tile.js";

/** Above this many people, coming and going is not shown any more, only counted. */
const SMALL_ROOM = 12;
/** The list waits for an open menu to close: it must not move under the finger. */
const MENU_MS = 400;

/** What somebody is doing, in a word. @param {any} participant */
function doing(participant) {
  const kind = kindOf(participant);
  if (isLeaving(participant.identity)) return t("people.leaving");
  if (handOf(participant)) return t("hand.is_up");
  if (kind !== "person") return t(`room.badge_${kind}`);
  if (participant.permissions && !participant.permissions.canPublish) return t("people.watching");
  return "";
}

/** @param {any} room @param {any} participant @param {() => void} redraw */
function row(room, participant, redraw) {
  const name = nameOf(participant);
  const kind = kindOf(participant);
  const isHeard = participant.isMicrophoneEnabled;
  const isSeen = participant.isCameraEnabled;
  /** @type {HTMLButtonElement | false} */
  const manage = Boolean(page.leads) && !participant.isLocal && kind !== "camera" && el("button", {
    class: "icon-button", type: "button", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": t("people.manage", { name }),
    on: { click: () => manage && openPersonMenu(manage, room, participant, redraw) },
  }, icon("more", "icon-s"));
  const bars = makeBars();
  bars.show(levelOf(participant.connectionQuality));
  const face = kind === "camera" ? icon("cctv") : handOf(participant) ? icon("hand", "icon-s") : initialOf(name);
  return el("li", { class: handOf(participant) ? "person hand-up" : "person" },
    el("span", { class: "person-face", "aria-hidden": "true" }, face),
    el("span", { class: "person-text" }, el("b", {}, participant.isLocal ? t("room.you", { name }) : name), el("span", { class: "person-sub" }, el("small", {}, doing(participant)), bars.node)),
    kind === "camera" ? null : el("span", { class: isHeard ? "" : "off" }, icon(isHeard ? "mic" : "mic-off", "icon-s"), el("span", { class: "sr-only" }, t(isHeard ? "people.heard" : "people.not_heard"))),
    el("span", { class: isSeen ? "" : "off" }, icon(isSeen ? "camera" : "camera-off", "icon-s"), el("span", { class: "sr-only" }, t(isSeen ? "people.seen" : "people.not_seen"))),
    manage);
}

/** @param {any} room */
export function showPeople(room) {
  const list = byId("people-list");
  const { RoomEvent } = livekit;
  let isDue = false;
  const draw = () => {
    if (isMenuOpen()) { setTimeout(draw, MENU_MS); return; }
    isDue = false;
    const all = [room.localParticipant, ...room.remoteParticipants.values()];
    // Raised hands first, in the order they went up.
    all.sort((a, b) => (handOf(a) || Infinity) - (handOf(b) || Infinity) || 0);
    list.replaceChildren(...all.map((one) => row(room, one, update)));
    const people = all.filter((participant) => kindOf(participant) !== "camera").length;
    const words = t("people.count", { n: people });
    setText(byId("count-words"), words);
    setText(byId("count-number"), String(people));
    byId("count").setAttribute("aria-label", words);
  };
  const update = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(draw);
  };
  for (const event of [
    RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected, RoomEvent.TrackMuted, RoomEvent.TrackUnmuted,
    RoomEvent.TrackPublished, RoomEvent.TrackUnpublished, RoomEvent.LocalTrackPublished, RoomEvent.LocalTrackUnpublished,
    RoomEvent.ParticipantNameChanged, RoomEvent.ParticipantAttributesChanged, RoomEvent.Connected, RoomEvent.Reconnected,
    RoomEvent.ConnectionQualityChanged,
  ]) room.on(event, update);
  const tell = (/** @type {string} */ key, /** @type {any} */ participant) => {
    const words = t(key, { name: nameOf(participant) });
    if (room.remoteParticipants.size < SMALL_ROOM) note(words);
    else announce(words);
  };
  room.on(RoomEvent.ParticipantConnected, (/** @type {any} */ who) => tell("people.joined", who));
  room.on(RoomEvent.ParticipantDisconnected, (/** @type {any} */ who) => tell("people.left", who));
}
