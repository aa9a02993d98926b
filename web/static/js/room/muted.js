/** Telling somebody that the host switched his microphone off. */

import { t } from "../lib/page.js";
import { buzz, note } from "../lib/say.js";
import { livekit } from "../media/livekit.js";

/** @param {any} room @param {HTMLElement} button the own microphone button, busy while the person himself switches */
export function tellWhenMuted(room, button) {
  room.on(livekit.RoomEvent.TrackMuted, (/** @type {any} */ publication, /** @type {any} */ who) => {
    const isMine = who.isLocal && publication.source === livekit.Track.Source.Microphone;
    if (!isMine || button.getAttribute("aria-busy")) return;
    buzz(120);
    note(t("stage.muted_by_host"), { urgent: true });
  });
}
