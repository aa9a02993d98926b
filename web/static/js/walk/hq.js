/** HQ on the rep's screen: one small picture of whoever speaks, and who is looking. */

import { byId, icon, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { announce, buzz } from "../lib/say.js";
import { livekit } from "../media/livekit.js";
import { initialOf, kindOf, nameOf } from "../room/tile.js";

/** @param {any} room */
export function showHq(room) {
  const { RoomEvent, Track } = livekit;
  const face = byId("hq-face");
  const video = document.createElement("video");
  Object.assign(video, { playsInline: true, autoplay: true, muted: true });
  /** @type {any} */
  let shown = null;
  /** @type {any} */
  let shownTrack = null;

  const people = () => [...room.remoteParticipants.values()].filter((participant) => kindOf(participant) === "person");

  const draw = () => {
    const here = people();
    if (!here.includes(shown)) shown = here.find((participant) => participant.isCameraEnabled) ?? here[0] ?? null;
    const publication = shown?.getTrackPublication(Track.Source.Camera);
    const track = publication && !publication.isMuted ? publication.videoTrack ?? null : null;
    if (track !== shownTrack) {
      shownTrack?.detach(video);
      shownTrack = track;
      track?.attach(video);
    }
    byId("hq").hidden = !shown;
    setText(byId("status"), t(here.length ? "walk.hq_watching" : "walk.waiting_hq", { n: here.length }));
    if (!shown) return;
    setText(byId("hq-name"), nameOf(shown));
    face.replaceChildren(track ? video : initialOf(nameOf(shown)) || icon("people"));
  };
  for (const event of [
    RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected, RoomEvent.TrackSubscribed, RoomEvent.TrackUnsubscribed,
    RoomEvent.TrackMuted, RoomEvent.TrackUnmuted, RoomEvent.Connected, RoomEvent.Reconnected, RoomEvent.ParticipantNameChanged,
    RoomEvent.Disconnected,
  ]) room.on(event, draw);
  room.on(RoomEvent.ParticipantConnected, (/** @type {any} */ who) => {
    if (kindOf(who) !== "person") return;
    // The rep looks at the shelf: the phone says by touch that HQ has come.
    buzz(120);
    announce(t("people.joined", { name: nameOf(who) }));
  });
  room.on(RoomEvent.ActiveSpeakersChanged, (/** @type {any[]} */ speakers) => {
    const speaker = speakers.find((participant) => !participant.isLocal && kindOf(participant) === "person");
    byId("hq").classList.toggle("speaking", Boolean(speaker));
    if (!speaker || speaker === shown) return;
    shown = speaker;
    draw();
  });
  draw();
}
