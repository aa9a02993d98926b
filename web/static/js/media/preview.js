/**
 * Microphone and camera before entering: only after a tap. The opened tracks are handed over to
 * the room, so that no phone asks twice and the picture does not go dark in between.
 */

import { watchLevel } from "./level.js";
import { livekit, loadLibrary } from "./livekit.js";

const FACE = { facingMode: "user", resolution: { width: 1280, height: 720 } };
const VOICE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Rear camera for shelves; `ideal`, as old phones refuse what they cannot give exactly. */
export const SHELF = { facingMode: "environment", resolution: { width: 1280, height: 720, frameRate: 20 } };

/** @typedef {{ camera: boolean, microphone: boolean }} Wants */

export class Preview {
  /**
   * @param {HTMLVideoElement} video
   * @param {{ isWalk: boolean, onLevel: (level: number) => void }} options
   */
  constructor(video, { isWalk, onLevel }) {
    this.video = video;
    this.isWalk = isWalk;
    this.onLevel = onLevel;
    /** livekit LocalTracks. @type {any[]} */
    this.tracks = [];
    /** Tracks handed over, which the preview may still show. @type {any[]} */
    this.given = [];
    this.stopLevel = () => {};
    this.opening = Promise.resolve();
  }

  get isOpen() {
    return this.tracks.length > 0;
  }

  /** Open the devices, one wish after the other. Throws what getUserMedia throws. @param {Wants} wants */
  open(wants) {
    const open = () => this.openNow(wants);
    this.opening = this.opening.then(open, open);
    return this.opening;
  }

  /** @param {Wants} wants */
  async openNow({ camera, microphone }) {
    this.close();
    if (!camera && !microphone) return;
    await loadLibrary();
    this.tracks = await livekit.createLocalTracks({
      audio: microphone && VOICE,
      video: camera && (this.isWalk ? SHELF : FACE),
    });
    const sound = this.tracks.find((track) => track.kind === "audio");
    if (sound) this.stopLevel = watchLevel(sound.mediaStreamTrack, this.onLevel);
    const picture = this.tracks.find((track) => track.kind === "video");
    if (!picture) return;
    picture.attach(this.video);
    this.video.classList.toggle("mirrored", !this.isWalk && picture.mediaStreamTrack.getSettings().facingMode !== "environment");
    this.video.hidden = false;
    // In-app browsers draw nothing until play() is called.
    await this.video.play().catch(() => {});
  }

  /** Give away what is open, opening it first where needed. @param {Wants} wants @returns {Promise<any[]>} */
  async take(wants) {
    // A tap on the preview may still wait for the library.
    await this.opening.catch(() => {});
    const has = (/** @type {string} */ kind) => this.tracks.some((track) => track.kind === kind);
    if (has("video") !== wants.camera || has("audio") !== wants.microphone) await this.open(wants);
    const { tracks } = this;
    this.stopLevel();
    this.stopLevel = () => {};
    this.tracks = [];
    this.given = tracks;
    return tracks;
  }

  /** Stop showing what was handed over. */
  hide() {
    for (const track of this.given) track.detach(this.video);
    this.given = [];
  }

  close() {
    this.stopLevel();
    this.stopLevel = () => {};
    for (const track of this.tracks) {
      track.detach();
      track.stop();
    }
    this.tracks = [];
    this.video.hidden = true;
  }
}
