/** Nobody else is here yet: say so, and hold the one button that changes it. */

import { byId } from "../lib/dom.js";
import { livekit } from "../media/livekit.js";

/** @param {any} room */
export function showAlone(room) {
  const card = byId("alone");
  const { RoomEvent } = livekit;
  const show = () => { card.hidden = room.remoteParticipants.size > 0; };
  for (const event of [RoomEvent.Connected, RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected, RoomEvent.Reconnected]) room.on(event, show);
}
