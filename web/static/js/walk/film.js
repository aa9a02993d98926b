/**
 * The rep's camera: rear first, sharp rather than smooth, and back by itself after a call, a lock
 * screen or a change of app.
 */

import { livekit } from "../media/livekit.js";
import { SHELF } from "../media/preview.js";

/** How long a paused camera may take to come back by itself before it is opened anew, in ms. */
const PATIENCE_MS = 1500;
const RETRY_MS = 2500;

/**
 * Layers for a phone on a weak line: the lowest is a readable slide show that fits where nothing
 * else does, the middle one is for lists and grids, the top one reads price tags.
 */
export function walkPublishOptions() {
  const { VideoPreset } = livekit;
  return {
    videoCodec: "vp8",
    simulcast: true,
    backupCodec: false,
    videoEncoding: { maxBitrate: 1_300_000, maxFramerate: 20 },
    videoSimulcastLayers: [new VideoPreset(320, 180, 90_000, 8), new VideoPreset(640, 360, 320_000, 15)],
    degradationPreference: "maintain-resolution",
  };
}

export class Film {
  /**
   * @param {HTMLVideoElement} view
   * @param {(isAway: boolean) => void} onAway told when the camera is gone and when it is back
   */
  constructor(view, onAway) {
    this.view = view;
    this.onAway = onAway;
    /** livekit LocalVideoTrack. @type {any} */
    this.track = null;
    this.facing = "environment";
    this.isTorchOn = false;
    this.isRestarting = false;
    /** What the encoder should keep when bits are few. */
    this.hint = "detail";
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") setTimeout(() => this.check(), PATIENCE_MS);
    });
  }

  /** @param {any} track livekit LocalVideoTrack */
  use(track) {
    this.track = track;
    track.attach(this.view);
    this.view.play().catch(() => {});
    this.facing = track.mediaStreamTrack.getSettings().facingMode === "user" ? "user" : "environment";
    track.on(livekit.TrackEvent.Ended, () => this.check());
    track.on(livekit.TrackEvent.Restarted, () => this.watch());
    this.watch();
  }

  /** Hint and listeners for the present device track. */
  watch() {
    const media = this.track.mediaStreamTrack;
    if ("contentHint" in media) media.contentHint = this.hint;
    this.view.classList.toggle("mirrored", media.getSettings().facingMode === "user");
    media.addEventListener("mute", () => { this.onAway(true); setTimeout(() => this.check(), PATIENCE_MS); });
    media.addEventListener("unmute", () => this.onAway(false));
    this.onAway(false);
  }

  /** @param {"detail" | "text"} hint */
  setHint(hint) {
    this.hint = hint;
    const media = this.track?.mediaStreamTrack;
    if (media && "contentHint" in media) media.contentHint = hint;
  }

  /** Whether the camera gives pictures. */
  isLive() {
    const media = this.track?.mediaStreamTrack;
    return Boolean(media) && media.readyState === "live" && !media.muted;
  }

  /** Open the camera again if it stopped; keeps trying while the page is looked at. */
  async check() {
    if (!this.track || this.track.isMuted || this.isRestarting || this.isLive()) return;
    if (document.visibilityState !== "visible") return;
    this.onAway(true);
    if (await this.restart()) return;
    setTimeout(() => this.check(), RETRY_MS);
  }

  async restart() {
    this.isRestarting = true;
    try {
      await this.track.restartTrack({ ...SHELF, facingMode: this.facing });
      this.isTorchOn = false;
      return true;
    } catch {
      return false;
    } finally {
      this.isRestarting = false;
    }
  }

  /** Turn to the other camera. @returns {Promise<boolean>} */
  async flip() {
    const before = this.facing;
    this.facing = before === "user" ? "environment" : "user";
    if (await this.restart()) return true;
    this.facing = before;
    await this.restart();
    return false;
  }

  canTorch() {
    const media = this.track?.mediaStreamTrack;
    return Boolean(media?.getCapabilities?.().torch);
  }

  /** @returns {Promise<boolean>} whether the light obeyed */
  async toggleTorch() {
    try {
      await this.track.mediaStreamTrack.applyConstraints({ advanced: [{ torch: !this.isTorchOn }] });
      this.isTorchOn = !this.isTorchOn;
      return true;
    } catch {
      return false;
    }
  }
}
