/** The meeting room behind the entrance: puts the pieces together. */

import { openInvite } from "../home/invite.js";
import { byId } from "../lib/dom.js";
import { keep, recall } from "../lib/kept.js";
import { page, t } from "../lib/page.js";
import { stayAwake } from "../media/awake.js";
import { livekit } from "../media/livekit.js";
import { canShareScreen } from "../media/permission.js";
import { arrive } from "./arrive.js";
import { showAlone } from "./alone.js";
import { Chat } from "./chat.js";
import { hideWhenIdle } from "./chrome.js";
import { playVoices, showCover, showSoundUnlock } from "./cover.js";
import { openDeviceMenu } from "./devices_menu.js";
import { showHand } from "./hand.js";
import { isMenuOpen, openMenu } from "./menu.js";
import { tellWhenMuted } from "./muted.js";
import { Panel } from "./panel.js";
import { showPeople } from "./people.js";
import { listenToServer } from "./from_server.js";
import { OwnLine, readStep } from "./quality.js";
import { showRecording } from "./record.js";
import { Session } from "./session.js";
import { listenForKeys, showKeys } from "./shortcuts.js";
import { StillAssembly } from "./stills.js";
import { Talk } from "./talk.js";
import { Tiles } from "./tiles.js";
import { Uplink } from "../uplink/uplink.js";
import { RungWords } from "../uplink/words.js";

const { VideoPresets } = livekit;
const SIZES = ["", "large", "largest"];

const session = new Session({
  videoCaptureDefaults: { resolution: VideoPresets.h720.resolution },
  publishDefaults: {
    simulcast: true,
    videoCodec: "vp8",
    videoSimulcastLayers: [VideoPresets.h180, VideoPresets.h360],
    backupCodec: false,
    // Text must stay sharp: fewer pictures a second, all of them whole.
    screenShareEncoding: { maxBitrate: 1_500_000, maxFramerate: 8 },
    red: true,
    dtx: true,
  },
});
const { room } = session;
const stage = byId("stage");

const talk = new Talk(room);
const panel = new Panel();
const chat = new Chat(room, {
  isOpen: () => panel.shown === "chat",
  open: () => panel.show("chat"),
  onUnread: (count) => {
    const dot = byId("chat-unread");
    dot.hidden = !count;
    dot.textContent = count > 99 ? "99+" : String(count);
    byId("chat-open").setAttribute("aria-label", count ? t("chat.unread", { n: count }) : t("chat.title"));
  },
});
panel.onShown = (tab) => { if (tab === "chat") chat.markRead(); };
const tiles = new Tiles(byId("tiles"), room);
const recording = showRecording(session);
showPeople(room);
showAlone(room);
const hand = showHand(room);
tellWhenMuted(room, byId("microphone"));
const line = new OwnLine();
const stills = new StillAssembly((still) => tiles.showStill(still));
listenToServer(room, {
  "aislecast.network": (data) => line.setStep(readStep(data)),
  "aislecast.still": (data) => stills.take(data),
});
line.follow(session);
const words = new RungWords(line, "room.uplink");
const uplink = new Uplink(room, {
  // Phones begin small; a desk is on a line of its own most of the time, and others watch it large.
  start: matchMedia("(pointer: coarse)").matches ? "reduced" : "full",
  subject: "face",
  onRung: (rung) => words.change(rung, uplink.isSharp()),
  onRest: () => words.rest(),
});
uplink.follow();
showCover(session);
showSoundUnlock(room);
playVoices(room);

/** Microphone and camera as they were before the line broke. */
let lastMedia = { microphone: false, camera: false };
room.on(livekit.RoomEvent.Reconnecting, () => { lastMedia = talk.snapshot(); });
for (const event of ["TrackMuted", "TrackUnmuted", "LocalTrackPublished"]) {
  room.on(livekit.RoomEvent[event], () => { lastMedia = talk.snapshot(); });
}
session.restoreMedia = () => talk.restore(lastMedia);

const leave = () => session.leave();
byId("leave").addEventListener("click", leave);
byId("leave-top").addEventListener("click", leave);
byId("microphone-menu").addEventListener("click", () => openDeviceMenu(byId("microphone-menu"), room, ["audioinput", "audiooutput"]));
byId("camera-menu").addEventListener("click", () => openDeviceMenu(byId("camera-menu"), room, ["videoinput"]));
const invite = () => openInvite(room.name);
for (const id of ["invite", "people-invite", "alone-invite"]) document.getElementById(id)?.addEventListener("click", invite);

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.().catch(() => {});
}

function nextTextSize() {
  const next = SIZES[(SIZES.indexOf(recall("size")) + 1) % SIZES.length];
  keep("size", next);
  document.documentElement.dataset.size = next;
}

const shortcuts = [
  { key: "m", words: t("keys.microphone"), run: () => talk.toggleMicrophone() },
  { key: "v", words: t("keys.camera"), run: () => talk.toggleCamera() },
  ...(canShareScreen() ? [{ key: "s", words: t("keys.share"), run: () => talk.toggleShare() }] : []),
  { key: "c", words: t("keys.chat"), run: () => panel.toggle("chat") },
  { key: "p", words: t("keys.people"), run: () => panel.toggle("people") },
  { key: "h", words: t("keys.hand"), run: () => hand.toggle() },
  { key: "l", words: t("keys.layout"), run: () => tiles.toggleLayout() },
  ...(page.leads ? [{ key: "r", words: t("keys.record"), run: () => recording.toggle() }] : []),
  { key: "f", words: t("keys.full"), run: toggleFullScreen },
  { key: "PageDown", shown: "PgDn", words: t("keys.next_page"), run: () => tiles.turn(1) },
  { key: "PageUp", shown: "PgUp", words: t("keys.page_before"), run: () => tiles.turn(-1) },
  { key: "?", words: t("keys.list"), run: () => showKeys(shortcuts) },
];

byId("more").addEventListener("click", () => {
  const isTight = matchMedia("(max-width: 1150px)").matches;
  const isNarrow = matchMedia("(max-width: 899px)").matches;
  const me = room.localParticipant;
  openMenu(byId("more"), [
    ...(isTight ? [{ text: t(hand.isUp() ? "hand.down" : "hand.up"), sign: "hand", onPick: () => hand.toggle() }] : []),
    ...(isNarrow ? [
      { text: t("people.title"), sign: "people", onPick: () => panel.show("people") },
      ...(canShareScreen() ? [{ text: t(me.isScreenShareEnabled ? "stage.share_stop" : "stage.share"), sign: "share", onPick: () => talk.toggleShare() }] : []),
      ...(page.leads ? [
        { text: t(room.isRecording ? "record.stop" : "record.start"), sign: room.isRecording ? "stop" : "record", onPick: () => recording.toggle() },
        { text: t("invite.open"), sign: "invite", onPick: invite },
      ] : []),
    ] : []),
    { text: t("device.choose"), sign: "mic", onPick: () => openDeviceMenu(byId("more"), room, ["audioinput", "audiooutput", "videoinput"]) },
    { text: t(tiles.largeTile() ? "room.layout_grid" : "room.layout_large"), sign: "grid", onPick: () => tiles.toggleLayout() },
    { text: t("stage.text_size"), sign: "text", onPick: nextTextSize },
    ...(document.documentElement.requestFullscreen ? [{ text: t("stage.full"), sign: "full", onPick: toggleFullScreen }] : []),
    ...(isNarrow ? [] : [{ text: t("keys.title"), sign: "keyboard", onPick: () => showKeys(shortcuts) }]),
  ]);
});

/**
 * @param {import("./entrance.js").Wish} wish
 * @param {import("./entrance.js").Entrance} entrance
 */
export async function enter(wish, entrance) {
  await arrive(wish, entrance, session);
  const { tracks, microphone } = wish;
  stayAwake(page.awake_film);
  hideWhenIdle(stage, () => Boolean(panel.shown) || isMenuOpen() || Boolean(document.querySelector("dialog[open]")));
  listenForKeys(shortcuts);
  tiles.update();
  talk.show();
  room.startAudio().catch(() => {});
  await Promise.all(tracks.map((track) => room.localParticipant.publishTrack(track)));
  byId("microphone").focus({ preventScroll: true });
  if (microphone) talk.show();
}
