/** The phone walk: own camera over the whole screen, one voice line, nothing to learn. */

import { byId, setIcon, setText } from "../lib/dom.js";
import { keep, recall } from "../lib/kept.js";
import { page, t } from "../lib/page.js";
import { announce, note } from "../lib/say.js";
import { stayAwake } from "../media/awake.js";
import { livekit } from "../media/livekit.js";
import { helpKey, troubleOf } from "../media/permission.js";
import { SHELF } from "../media/preview.js";
import { hideWhenIdle } from "../room/chrome.js";
import { arrive } from "../room/arrive.js";
import { playVoices, showCover, showSoundUnlock } from "../room/cover.js";
import { openDeviceMenu } from "../room/devices_menu.js";
import { isMenuOpen, openMenu } from "../room/menu.js";
import { tellWhenMuted } from "../room/muted.js";
import { listenToServer } from "../room/from_server.js";
import { sayLine } from "../room/line.js";
import { OwnLine, readStep } from "../room/quality.js";
import { showRecording } from "../room/record.js";
import { Session } from "../room/session.js";
import { StillAssembly } from "../room/stills.js";
import { Film, walkPublishOptions } from "./film.js";
import { showHq } from "./hq.js";
import { Uplink } from "../uplink/uplink.js";
import { RungWords } from "../uplink/words.js";

const SIZES = ["", "large", "largest"];

const session = new Session({
  videoCaptureDefaults: SHELF,
  publishDefaults: { ...walkPublishOptions(), red: true, dtx: true },
});
const { room } = session;
const stage = byId("stage");
const film = new Film(/** @type {HTMLVideoElement} */ (byId("film")), (isAway) => {
  const notice = byId("camera-off");
  if (notice.hidden === !isAway) return;
  notice.hidden = !isAway;
  announce(t(isAway ? "walk.camera_away" : "walk.camera_back"));
});

const stills = new StillAssembly(showHq(room));
const line = new OwnLine("walk.network");
line.follow(session);
listenToServer(room, {
  "aislecast.network": (data) => line.setStep(readStep(data)),
  "aislecast.still": (data) => stills.take(data),
});
showRecording(session);
showCover(session);
showSoundUnlock(room);
playVoices(room);

const words = new RungWords(line, "uplink");
const uplink = new Uplink(room, { start: "reduced", subject: "walk", onRung: (rung) => words.change(rung, uplink.isSharp()) });
uplink.follow();

const microphone = byId("microphone");
tellWhenMuted(room, microphone);

function showMicrophone() {
  const isOn = room.localParticipant.isMicrophoneEnabled;
  microphone.setAttribute("aria-pressed", String(isOn));
  microphone.classList.toggle("is-off", !isOn);
  setIcon(microphone, isOn ? "mic" : "mic-off");
  setText(/** @type {Element} */ (microphone.querySelector("span")), t(`stage.microphone_${isOn ? "on" : "off"}`));
}

microphone.addEventListener("click", async () => {
  if (microphone.getAttribute("aria-busy")) return;
  microphone.setAttribute("aria-busy", "true");
  try {
    await room.localParticipant.setMicrophoneEnabled(!room.localParticipant.isMicrophoneEnabled);
  } catch (error) {
    const trouble = troubleOf(error);
    note(`${t(`device.${trouble}.title`)} ${t(helpKey(trouble))}`, { urgent: true });
  }
  microphone.removeAttribute("aria-busy");
  showMicrophone();
  announce(t(room.localParticipant.isMicrophoneEnabled ? "stage.microphone_on" : "stage.microphone_off"));
});
for (const event of ["TrackMuted", "TrackUnmuted", "LocalTrackPublished", "LocalTrackUnpublished"]) {
  room.on(livekit.RoomEvent[event], showMicrophone);
}

/** Open the camera once more after a rejoin: the library stopped the old one. */
session.restoreMedia = async () => {
  const wasHeard = microphone.getAttribute("aria-pressed") === "true";
  if (wasHeard) await room.localParticipant.setMicrophoneEnabled(true).catch(() => {});
  const track = await livekit.createLocalVideoTrack({ ...SHELF, facingMode: film.facing }).catch(() => null);
  if (!track) return;
  film.use(track);
  await room.localParticipant.publishTrack(track, { ...walkPublishOptions(), source: livekit.Track.Source.Camera });
};

byId("end").addEventListener("click", () => session.leave());

const isShelf = () => uplink.subject === "shelf";

/** Sharp and slow, for reading price tags; or smooth again. @param {boolean} isOn */
function setShelf(isOn) {
  film.setHint(isOn ? "text" : "detail");
  uplink.film(isOn ? "shelf" : "walk");
  sayLine(t(isOn ? "walk.shelf_is_on" : "walk.shelf_is_off"));
}

function toggleDaylight() {
  const isOn = document.documentElement.dataset.theme !== "daylight";
  keep("theme", isOn ? "daylight" : "");
  document.documentElement.dataset.theme = isOn ? "daylight" : "";
}

function nextTextSize() {
  const next = SIZES[(SIZES.indexOf(recall("size")) + 1) % SIZES.length];
  keep("size", next);
  document.documentElement.dataset.size = next;
}

byId("more").addEventListener("click", () => openMenu(byId("more"), [
  { text: t("walk.flip"), sign: "flip", onPick: async () => { if (!(await film.flip())) note(t("walk.one_camera")); } },
  ...(film.canTorch() ? [{
    text: t(film.isTorchOn ? "walk.torch_off" : "walk.torch_on"), sign: "torch",
    onPick: async () => { if (!(await film.toggleTorch())) note(t("walk.no_torch")); },
  }] : []),
  { text: t(isShelf() ? "walk.shelf_off" : "walk.shelf_on"), sign: "shelf", onPick: () => setShelf(!isShelf()) },
  { text: t("walk.daylight"), sign: "sun", onPick: toggleDaylight },
  { text: t("stage.text_size"), sign: "text", onPick: nextTextSize },
  { text: t("device.choose"), sign: "sound", onPick: () => openDeviceMenu(byId("more"), room, ["audioinput", "audiooutput"]) },
]));

/**
 * @param {import("../room/entrance.js").Wish} wish
 * @param {import("../room/entrance.js").Entrance} entrance
 */
export async function enter(wish, entrance) {
  await arrive(wish, entrance, session);
  const { tracks, isShelf: beginsAsShelf } = wish;
  stayAwake(page.awake_film);
  hideWhenIdle(stage, () => isMenuOpen() || !byId("camera-off").hidden);
  room.startAudio().catch(() => {});
  const video = tracks.find((track) => track.kind === "video");
  if (video) film.use(video);
  if (beginsAsShelf) setShelf(true);
  const source = livekit.Track.Source;
  await Promise.all(tracks.map((track) => room.localParticipant.publishTrack(
    track, track.kind === "video" ? { ...walkPublishOptions(), source: source.Camera } : {})));
  showMicrophone();
}
