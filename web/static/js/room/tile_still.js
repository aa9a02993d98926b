/**
 * A tile's picture when there is no film: the last still or the last frame, and how old it is. The
 * first new frame of the film takes both away.
 */

import { el, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";

/** A film that stands for longer than this is said to be old, if the network is why. */
const OLD_MS = 3000;
/** Not told for so long, the tile was out of sight: nothing moved because nobody looked. */
const AWAY_MS = 2500;

/**
 * The server's clock against ours, from the fastest still so far: its journey counts as none.
 * Wrong clocks in phones must not make pictures look old, or from the future.
 */
let clockAheadMs = -Infinity;

/** Age of something the server dated. @param {number} takenMs @param {number} [nowMs] */
export function ageOf(takenMs, nowMs = Date.now()) {
  clockAheadMs = Math.max(clockAheadMs, takenMs - nowMs);
  return Math.max(0, nowMs - (takenMs - clockAheadMs));
}

export class TileStill {
  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.video = video;
    this.image = el("img", { class: "tile-film tile-still", alt: "", hidden: true });
    this.ageNode = el("span", { class: "tile-age", hidden: true });
    this.url = "";
    /** When the shown still was taken, on our clock; 0: none is shown. */
    this.takenAt = 0;
    /** When the film last moved; 0: not yet. */
    this.movedAt = 0;
    this.toldAt = 0;
    this.inSightFrom = 0;
    this.isWatching = false;
    this.image.addEventListener("load", () => { this.image.hidden = !this.url; });
    this.image.addEventListener("error", () => this.clear());
  }

  /** @param {import("./stills.js").Still} still */
  show(still) {
    const old = this.url;
    this.url = URL.createObjectURL(still.file);
    this.takenAt = Date.now() - ageOf(still.takenMs);
    this.image.src = this.url;
    if (old) URL.revokeObjectURL(old);
    this.watch();
  }

  /** Notice every frame of the film. */
  watch() {
    if (this.isWatching || !this.video.requestVideoFrameCallback) return;
    this.isWatching = true;
    const onFrame = () => {
      this.movedAt = Date.now();
      if (this.url) this.clear();
      this.video.requestVideoFrameCallback(onFrame);
    };
    this.video.requestVideoFrameCallback(onFrame);
  }

  clear() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
    this.takenAt = 0;
    this.image.hidden = true;
    this.image.removeAttribute("src");
    this.ageNode.hidden = true;
  }

  /**
   * Say how old the picture is.
   * @param {string} name of what it shows
   * @param {boolean} isHeld nothing but the network keeps the film from moving
   */
  tell(name, isHeld) {
    this.watch();
    const now = Date.now();
    if (now - this.toldAt > AWAY_MS) this.inSightFrom = now;
    this.toldAt = now;
    const mayBeOld = isHeld && now - this.inSightFrom > OLD_MS;
    const since = this.url ? this.takenAt : mayBeOld ? this.movedAt : 0;
    const age = now - since;
    this.ageNode.hidden = !since || (!this.url && age < OLD_MS);
    if (this.ageNode.hidden) return;
    const seconds = Math.max(1, Math.round(age / 1000));
    setText(this.ageNode, seconds < 60 ? t("still.age", { n: seconds }) : t("still.age_minutes", { n: Math.floor(seconds / 60) }));
    if (this.url) this.image.alt = t("still.alt", { name });
  }
}
