/** The replay page: a native video with our own few controls. */

import { ApiError, get, part } from "../lib/api.js";
import { byId, el, icon, setIcon, setText } from "../lib/dom.js";
import { linesOf, whyWords } from "../lib/lines.js";
import { applyTextSize, keep, recall } from "../lib/kept.js";
import { page, t } from "../lib/page.js";
import { announce } from "../lib/say.js";
import { clockLength, exactTime, sayLength, saySize, sayTime } from "../lib/when.js";
import { hideWhenIdle } from "../room/chrome.js";
import { listenForKeys, showKeys } from "../room/shortcuts.js";
import { initialOf } from "../room/tile.js";
import { openShare } from "./share.js";

const STEP_S = 10;
const SPEEDS = [0.75, 1, 1.25, 1.5, 2];
const AGAIN_MS = 2000;

const film = /** @type {HTMLVideoElement} */ (byId("film"));
const seek = /** @type {HTMLInputElement} */ (byId("seek"));
const speed = /** @type {HTMLSelectElement} */ (byId("speed"));
const player = byId("player");
/** Length as the server knows it, until the film tells its own. */
let lengthS = 0;
let isDragging = false;

const length = () => (Number.isFinite(film.duration) && film.duration > 0 ? film.duration : lengthS);

function togglePlay() {
  if (film.paused) film.play().catch(() => {});
  else film.pause();
}

/** @param {number} seconds */
function goTo(seconds) {
  film.currentTime = Math.min(Math.max(0, seconds), Math.max(0, length() - 0.1));
  showTime();
}

/** @param {number} seconds */
function skip(seconds) {
  goTo(film.currentTime + seconds);
  announce(clockLength(film.currentTime));
}

/** @param {number} by */
function changeSpeed(by) {
  const at = SPEEDS.indexOf(film.playbackRate);
  setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at + by))]);
}

/** @param {number} rate */
function setSpeed(rate) {
  film.playbackRate = rate;
  speed.value = String(rate);
  keep("speed", String(rate));
}

function toggleSound() {
  film.muted = !film.muted;
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (player.requestFullscreen) player.requestFullscreen().catch(() => {});
  else /** @type {any} */ (film).webkitEnterFullscreen?.();
}

function showTime() {
  const all = length();
  const now = isDragging ? (Number(seek.value) / 1000) * all : film.currentTime;
  setText(byId("time-now"), clockLength(now));
  setText(byId("time-all"), clockLength(all));
  const share = all ? now / all : 0;
  if (!isDragging) seek.value = String(Math.round(share * 1000));
  seek.setAttribute("aria-valuetext", t("replay.at", { now: clockLength(now), all: clockLength(all) }));
  byId("seek-done").style.transform = `scaleX(${share})`;
}

function showLoaded() {
  const { buffered } = film;
  let end = 0;
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= film.currentTime + 0.5) end = Math.max(end, buffered.end(i));
  }
  byId("seek-loaded").style.transform = `scaleX(${length() ? end / length() : 0})`;
}

function showPlaying() {
  const button = byId("play");
  setIcon(button, film.paused ? "play" : "pause");
  setText(/** @type {Element} */ (button.querySelector("span")), t(film.paused ? "replay.play" : "replay.pause"));
  byId("big-play").hidden = !(film.paused && film.currentTime === 0);
  player.classList.toggle("paused", film.paused);
}

function listenToFilm() {
  film.addEventListener("play", showPlaying);
  film.addEventListener("pause", showPlaying);
  film.addEventListener("timeupdate", showTime);
  film.addEventListener("loadedmetadata", () => { showTime(); showPlaying(); setText(byId("player-note"), ""); });
  film.addEventListener("durationchange", showTime);
  film.addEventListener("progress", showLoaded);
  film.addEventListener("waiting", () => setText(byId("player-note"), t("replay.loading")));
  film.addEventListener("playing", () => setText(byId("player-note"), ""));
  film.addEventListener("seeked", () => setText(byId("player-note"), ""));
  film.addEventListener("volumechange", () => {
    byId("mute").setAttribute("aria-pressed", String(film.muted));
    setIcon(byId("mute"), film.muted ? "sound-off" : "sound");
    setText(/** @type {Element} */ (byId("mute").querySelector("span")), t(film.muted ? "replay.sound_off" : "replay.sound"));
  });
  film.addEventListener("error", sayWhyBroken);
  film.addEventListener("click", togglePlay);
  seek.addEventListener("input", () => { isDragging = true; showTime(); });
  seek.addEventListener("change", () => { isDragging = false; goTo((Number(seek.value) / 1000) * length()); });
}

function listenToControls() {
  byId("play").addEventListener("click", togglePlay);
  byId("big-play").addEventListener("click", togglePlay);
  byId("back").addEventListener("click", () => skip(-STEP_S));
  byId("forward").addEventListener("click", () => skip(STEP_S));
  byId("mute").addEventListener("click", toggleSound);
  byId("full").addEventListener("click", toggleFull);
  speed.addEventListener("change", () => setSpeed(Number(speed.value)));
  const shortcuts = [
    { key: " ", shown: t("keys.space"), words: t("keys.play"), run: togglePlay },
    { key: "ArrowLeft", shown: "←", words: t("keys.back"), run: () => skip(-STEP_S) },
    { key: "ArrowRight", shown: "→", words: t("keys.forward"), run: () => skip(STEP_S) },
    { key: "<", words: t("keys.slower"), run: () => changeSpeed(-1) },
    { key: ">", words: t("keys.faster"), run: () => changeSpeed(1) },
    { key: "m", words: t("keys.sound"), run: toggleSound },
    { key: "f", words: t("keys.full"), run: toggleFull },
    { key: "?", words: t("keys.list"), run: () => showKeys(shortcuts) },
  ];
  byId("keys").addEventListener("click", () => showKeys(shortcuts));
  listenForKeys(shortcuts);
}

/** @param {import("./rows.js").Recording} recording */
function showFacts(recording) {
  lengthS = recording.duration_s ?? 0;
  byId("replay-when").textContent = sayTime(recording.started_at);
  byId("replay-when").title = exactTime(recording.started_at);
  byId("replay-people").replaceChildren(...recording.participants.map((person) => el("li", { class: "person" },
    el("span", { class: "person-face", "aria-hidden": "true" }, person.is_camera ? icon("cctv") : initialOf(person.name)),
    el("span", { class: "person-text" }, el("b", {}, person.name), el("small", {}, t("replay.joined_at", { clock: clockLength(person.joined_s) }))))));
  const facts = [
    ["replay.when", exactTime(recording.started_at)],
    ["replay.length", recording.duration_s ? sayLength(recording.duration_s) : ""],
    ["replay.size", recording.size_bytes ? saySize(recording.size_bytes) : ""],
  ];
  byId("replay-facts").replaceChildren(...facts.filter(([, value]) => value).flatMap(([key, value]) => [el("dt", {}, t(key)), el("dd", {}, value)]));
}

/** Why it was bad for whom: for hosts, where it is remembered. @param {import("./rows.js").Recording} recording */
async function showLines(recording) {
  const section = document.getElementById("replay-lines");
  if (!section) return;
  // The middle of the recording is surely inside the session.
  const atMs = Date.parse(recording.started_at) + (recording.duration_s ?? 0) * 500;
  const lines = await linesOf(recording.room, atMs).catch(() => []);
  section.hidden = !lines.length;
  section.lastElementChild?.replaceChildren(...lines.map((line) => el("li", {},
    el("b", {}, line.name || line.identity), " ", whyWords(line),
    line.bad_s ? el("small", { class: "quiet" }, t("replay.line_bad", { length: sayLength(line.bad_s) })) : null)));
}

/** Say so when we may not see it (any more). @param {unknown} error */
function isOver(error) {
  if (!(error instanceof ApiError) || ![401, 403, 404].includes(error.status)) return false;
  const words = !page.is_host ? "replay.link_over" : error.status === 401 ? "error.sign_in" : "error.not_found";
  setText(byId("player-note"), t(words));
  byId("big-play").hidden = true;
  return true;
}

/** A film that stops loading: the link was taken back, or this browser cannot play it. */
async function sayWhyBroken() {
  try {
    await get(`/api/recordings/${part(page.recording)}`);
    setText(byId("player-note"), t("replay.broken"));
  } catch (error) {
    if (!isOver(error)) setText(byId("player-note"), t("common.cannot_load"));
  }
}

async function load() {
  /** @type {import("./rows.js").Recording} */
  let recording;
  try {
    recording = await get(`/api/recordings/${part(page.recording)}`);
  } catch (error) {
    if (isOver(error)) return;
    setText(byId("player-note"), t("common.cannot_load"));
    setTimeout(load, AGAIN_MS * 2);
    return;
  }
  showFacts(recording);
  showLines(recording);
  if (recording.state !== "ready") {
    const words = recording.state === "finishing" ? t("replay.finishing", { percent: Math.round((recording.progress ?? 0) * 100) }) : t(`replay.not_ready_${recording.state}`);
    setText(byId("player-note"), words);
    if (recording.state !== "failed") setTimeout(load, AGAIN_MS);
    return;
  }
  film.src = `/api/recordings/${part(recording.id)}/file`;
  byId("controls").hidden = false;
  offerShare(recording);
  setSpeed(Number(recall("speed")) || 1);
  showTime();
  showPlaying();
}

/** @param {import("./rows.js").Recording} recording */
function offerShare(recording) {
  const button = document.getElementById("share");
  if (!button) return;
  button.hidden = false;
  button.onclick = () => { film.pause(); openShare(recording); };
}

applyTextSize();
listenToFilm();
listenToControls();
hideWhenIdle(player, () => film.paused);
load();
