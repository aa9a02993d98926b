/** Raising one's hand: asking for the word without speaking. */

import { ApiError, part, post } from "../lib/api.js";
import { byId, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { note } from "../lib/say.js";
import { livekit } from "../media/livekit.js";
import { nameOf } from "./tile.js";

/** When a hand went up, Unix time in ms; 0: it is down. @param {any} participant */
export const handOf = (participant) => Number(participant.attributes?.hand) || 0;

/** @param {any} room */
export function showHand(room) {
  const button = byId("hand");
  const { RoomEvent } = livekit;
  const show = () => {
    const isUp = handOf(room.localParticipant) > 0;
    button.setAttribute("aria-pressed", String(isUp));
    setText(/** @type {Element} */ (button.querySelector("span")), t(isUp ? "hand.down" : "hand.up"));
  };
  const toggle = async () => {
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    try {
      await post(`/api/rooms/${part(room.name)}/hand`, { hand: handOf(room.localParticipant) ? "down" : "up" });
    } catch (error) {
      note(error instanceof ApiError ? error.message : t("error.unknown"), { urgent: true });
    } finally {
      button.removeAttribute("aria-busy");
    }
  };
  button.addEventListener("click", toggle);
  room.on(RoomEvent.ParticipantAttributesChanged, (/** @type {Record<string, string>} */ changed, /** @type {any} */ who) => {
    if (!("hand" in changed)) return;
    if (who.isLocal) show();
    else if (handOf(who)) note(t("hand.raised", { name: nameOf(who) }));
  });
  // Who raises it in the moment of coming is seen for the first time with the hand up.
  room.on(RoomEvent.ParticipantConnected, (/** @type {any} */ who) => {
    if (handOf(who)) note(t("hand.raised", { name: nameOf(who) }));
  });
  room.on(RoomEvent.Connected, show);
  return { toggle, isUp: () => handOf(room.localParticipant) > 0 };
}
