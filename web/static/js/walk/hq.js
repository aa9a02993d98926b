/** HQ on the rep's screen: one small picture of whoever speaks, and who is looking. */

import { byId, el, icon, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { announce, buzz } from "../lib/say.js";
import { livekit } from "../media/livekit.js";
import { initialOf, kindOf, nameOf } from "../room/tile.js";
import { TileStill } from "../room/tile_still.js";

/** The age of a held picture is said anew this often. */
const AGE_MS = 1000;

/** The film of one track, and the stills that stand in for it. */
class Picture {
  /** @param {any} track livekit RemoteVideoTrack */
  constructor(track) {
    this.track = track;
    this.video = el("video", { playsinline: true, autoplay: true });
    this.video.muted = true;
    this.still = new TileStill(this.video);
    track.attach(this.video);
  }

  nodes() {
    return [this.video, this.still.image, this.still.ageNode];
  }

  close() {
    this.track.detach(this.video);
    this.still.clear();
  }
}

/**
 * @param {any} room
 * @returns {(still: import("../room/stills.js").Still) => void} takes the pictures that come where no film gets through
 */
export function showHq(room) {
  const { RoomEvent, Track } = livekit;
  const face = byId("hq-face");
  /** @type {any} */
  let shown = null;
  /** @type {Picture | null} */
  let picture = null;

  const people = () => [...room.remoteParticipants.values()].filter((participant) => kindOf(participant) === "person");

  const draw = () => {
    const here = people();
    if (!here.includes(shown)) shown = here.find((participant) => participant.isCameraEnabled) ?? here[0] ?? null;
    const publication = shown?.getTrackPublication(Track.Source.Camera);
    const track = publication && !publication.isMuted ? publication.videoTrack ?? null : null;
    const isNew = track !== (picture?.track ?? null);
    if (isNew) {
      picture?.close();
      picture = track && new Picture(track);
    }
    byId("hq").hidden = !shown;
    setText(byId("status"), t(here.length ? "walk.hq_watching" : "walk.waiting_hq", { n: here.length }));
    if (!shown) return;
    setText(byId("hq-name"), nameOf(shown));
    if (!picture) face.replaceChildren(initialOf(nameOf(shown)) || icon("people"));
    else if (isNew) face.replaceChildren(...picture.nodes());
    tellAge();
  };
  const tellAge = () => {
    if (shown && document.visibilityState === "visible") picture?.still.tell(nameOf(shown), true);
  };
  setInterval(tellAge, AGE_MS);
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
  return (still) => {
    if (picture?.track.sid !== still.track) return;
    picture.still.show(still);
    tellAge();
  };
}
