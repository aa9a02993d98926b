/**
 * The own line: bars at the top, and a line of words whenever the server changes what it sends us
 * because of the network (topic `aislecast.network`).
 */

import { byId, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { livekit } from "../media/livekit.js";
import { levelOf, wordOf } from "./bars.js";
import { sayLine } from "./line.js";

/** @typedef {import("./bars.js").Level} Level */

/** A worse state must last before it is said, so that one bad moment stays unsaid. */
const SETTLE_MS = 1500;
/** Right after entering the server feels its way up from a small picture: that is no weak network. */
const START_MS = 8000;
/** All pictures held for so long, and no word of it: on a line that is full words get stuck behind what fills it. */
const HELD_MS = 4000;
/** The bars never look better than what the network leaves of the picture. @type {Record<string, Level>} */
const LEVEL_OF_STEP = { full: 3, reduced: 2, half_rate: 1, quarter_rate: 1, stills: 1, audio_only: 0 };
const STEPS = Object.keys(LEVEL_OF_STEP);

/** @typedef {{ step: string, reason: string }} NetworkStep */

/**
 * Read a packet of the topic; null if it is not one.
 * @param {Uint8Array} data
 * @returns {NetworkStep | null}
 */
export function readStep(data) {
  try {
    const { step, reason } = JSON.parse(new TextDecoder().decode(data));
    return STEPS.includes(step) ? { step, reason: typeof reason === "string" ? reason : "" } : null;
  } catch {
    return null;
  }
}

/** Bars and words of the own line. */
export class OwnLine {
  /** @param {string} [words] prefix of its texts: on a walk “the picture” would be the own one */
  constructor(words = "network") {
    this.prefix = words;
    this.node = byId("quality");
    this.words = byId("quality-words");
    /** What the server measures. @type {Level} */
    this.measured = 3;
    /** What our own sender has come down to. @type {Level} */
    this.sent = 3;
    this.step = "full";
    /** The step the person knows of. */
    this.saidStep = "full";
    /** @type {Level} */
    this.shown = 3;
    /** Until when a smaller picture is only the beginning, performance.now(). */
    this.startEnds = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.barsTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.stepTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.heldTimer = undefined;
    /** The step is what we see ourselves, not what we were told. */
    this.isSeen = false;
  }

  /** @param {import("./session.js").Session} session */
  follow(session) {
    session.addEventListener("quality", (event) => this.setQuality(/** @type {CustomEvent} */ (event).detail.quality));
    const { RoomEvent } = livekit;
    // A new connection starts with everything; one that is resumed stands where it stood.
    for (const event of [RoomEvent.Connected, RoomEvent.Reconnecting]) session.room.on(event, () => this.reset());
    session.room.on(RoomEvent.TrackStreamStateChanged, () => this.watchFilms(session.room));
  }

  /** @param {string} quality livekit ConnectionQuality */
  setQuality(quality) {
    this.measured = levelOf(quality) ?? 3;
    this.showBars();
  }

  /** @param {Level} level */
  setSent(level) {
    this.sent = level;
    this.showBars();
  }

  /** Signalling says which pictures are held; it comes another way than words. @param {any} room */
  watchFilms(room) {
    clearTimeout(this.heldTimer);
    const films = [...room.remoteParticipants.values()]
      .flatMap((one) => [...one.videoTrackPublications.values()])
      .filter((one) => one.track && !one.isMuted);
    const areHeld = films.length > 0 && films.every((one) => one.track.streamState === "paused");
    if (areHeld) this.heldTimer = setTimeout(() => this.sayHeld(), HELD_MS);
    else if (this.isSeen) this.setStep({ step: "full", reason: "" });
  }

  sayHeld() {
    if (STEPS.indexOf(this.step) >= STEPS.indexOf("stills")) return;
    this.setStep({ step: "audio_only", reason: "downlink" });
    this.isSeen = true;
  }

  /** @param {NetworkStep | null} next */
  setStep(next) {
    if (!next) return;
    this.isSeen = false;
    const isWorse = STEPS.indexOf(next.step) > STEPS.indexOf(this.saidStep);
    const isPicture = ["reduced", "half_rate", "quarter_rate"].includes(next.step);
    const startLeft = isPicture ? this.startEnds - performance.now() : 0;
    this.step = next.step;
    this.showBars();
    clearTimeout(this.stepTimer);
    this.stepTimer = setTimeout(() => this.say(next), isWorse ? Math.max(SETTLE_MS, startLeft) : 0);
  }

  /** @param {NetworkStep} next */
  say(next) {
    if (next.step === this.saidStep) return;
    this.saidStep = next.step;
    sayLine(this.wordsOf(next));
  }

  /** @param {NetworkStep} next */
  wordsOf({ step, reason }) {
    return t(`${this.prefix}.${step !== "full" && reason === "server" ? "server" : step}`);
  }

  reset() {
    clearTimeout(this.stepTimer);
    clearTimeout(this.heldTimer);
    this.isSeen = false;
    this.startEnds = performance.now() + START_MS;
    this.step = this.saidStep = "full";
    this.measured = 3;
    this.showBars();
  }

  showBars() {
    const next = /** @type {Level} */ (Math.min(this.measured, this.sent, LEVEL_OF_STEP[this.step]));
    clearTimeout(this.barsTimer);
    const apply = () => {
      this.shown = next;
      this.node.dataset.level = String(next);
      setText(this.words, wordOf(next));
    };
    const startLeft = next > 0 ? this.startEnds - performance.now() : 0;
    if (next < this.shown) this.barsTimer = setTimeout(apply, Math.max(SETTLE_MS, startLeft));
    else apply();
  }
}
