/** One picture with its name: a person's camera, a store camera, a phone on a walk, a shared screen. */

import { el, icon, setIcon, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { livekit } from "../media/livekit.js";
import { levelOf, makeBars } from "./bars.js";
import { TileStill } from "./tile_still.js";

/** What somebody is, from the attributes the server gave. @param {any} participant @returns {"person" | "camera" | "walk"} */
export function kindOf(participant) {
  const { kind, role } = participant.attributes ?? {};
  if (kind === "camera") return "camera";
  return role === "walker" || kind === "walk" ? "walk" : "person";
}

/** @param {any} participant */
export const nameOf = (participant) => participant.name || participant.identity || t("people.unnamed");

/** First sign of a name, for the round face of somebody without a picture. @param {string} name */
export function initialOf(name) {
  const trimmed = name.trim();
  const han = /\p{Script=Han}/u.test(trimmed);
  // Chinese given names say more than the family name: 张敏 → 敏.
  return han && trimmed.length <= 4 ? [...trimmed].slice(-1)[0] : ([...trimmed][0] ?? "·").toUpperCase();
}

export class Tile {
  /**
   * @param {any} participant
   * @param {"camera" | "screen"} source
   * @param {(tile: Tile) => void} onPin
   */
  constructor(participant, source, onPin) {
    this.participant = participant;
    this.source = source;
    this.kind = kindOf(participant);
    /** @type {any} */
    this.track = null;
    this.video = el("video", { playsinline: true, autoplay: true, class: "tile-film" });
    this.video.muted = true;
    this.video.addEventListener("resize", () => this.fit());
    this.face = el("span", { class: "tile-face", "aria-hidden": "true" });
    this.wait = el("span", { class: "tile-wait" });
    this.nameNode = el("span", { class: "plate-name" });
    this.muteSign = el("span", { class: "plate-sign", title: t("room.muted") }, icon("mic-off", "icon-s"));
    this.handSign = el("span", { class: "plate-hand", title: t("hand.is_up") }, icon("hand", "icon-s"));
    this.bars = makeBars();
    this.still = new TileStill(this.video);
    this.pinButton = el("button", { class: "tile-pin", type: "button", "aria-pressed": "false", on: { click: () => onPin(this) } }, icon("pin", "icon-s"), el("span", {}, t("room.pin")));
    this.badge = el("span", { class: "plate-badge" });
    this.node = el("figure", { class: "tile", data: { kind: this.kind, source } },
      this.face, this.video, this.still.image, this.wait, this.still.ageNode,
      el("figcaption", { class: "plate" }, this.handSign, this.muteSign, this.badge, this.nameNode, this.bars.node), this.pinButton);
    this.update();
  }

  get key() {
    return `${this.participant.identity}/${this.source}`;
  }

  publication() {
    const { Track } = livekit;
    return this.participant.getTrackPublication(this.source === "screen" ? Track.Source.ScreenShare : Track.Source.Camera);
  }

  /** Bring the tile in line with the participant. */
  update() {
    const publication = this.publication();
    const track = publication && !publication.isMuted ? publication.videoTrack ?? null : null;
    this.attach(track);
    const name = nameOf(this.participant);
    const isScreen = this.source === "screen";
    const isLocal = this.participant.isLocal;
    const words = isScreen ? t("room.screen_of", { name }) : isLocal ? t("room.you", { name }) : name;
    setText(this.nameNode, words);
    setText(this.face, initialOf(name));
    this.node.setAttribute("aria-label", words);
    const isMuted = !isScreen && this.kind !== "camera" && !this.participant.isMicrophoneEnabled;
    this.muteSign.hidden = !isMuted;
    this.handSign.hidden = isScreen || !this.participant.attributes?.hand;
    this.showBadge();
    const isComing = Boolean(publication && !publication.isMuted && !track);
    setText(this.wait, isComing ? t("room.picture_coming") : "");
    this.node.classList.toggle("dark-tile", !track);
    this.node.classList.toggle("mirrored", isLocal && !isScreen && facesUser(track));
    const level = levelOf(this.participant.connectionQuality);
    // A good line needs no sign on the picture; the own one has its place at the top.
    this.bars.show(isLocal || isScreen || level === 3 ? null : level);
    this.tellAge();
  }

  /** Say how old the picture is, where the network keeps it from moving. */
  tellAge() {
    if (this.participant.isLocal || this.node.hidden || document.visibilityState === "hidden") return;
    // Phones and faces always move; a shared screen or a store camera may stand still for its own reasons.
    const isMoving = this.source === "camera" && this.kind !== "camera";
    this.still.tell(this.node.getAttribute("aria-label") ?? "", Boolean(this.track) && (isMoving || this.track.streamState === "paused"));
  }

  /** @param {import("./stills.js").Still} still */
  showStill(still) {
    if (this.publication()?.trackSid !== still.track) return;
    this.still.show(still);
    this.fit();
    this.tellAge();
  }

  showBadge() {
    const sign = this.source === "screen" ? "share" : this.kind === "camera" ? "cctv" : this.kind === "walk" ? "walk" : "";
    this.badge.hidden = !sign;
    if (!sign || this.badge.dataset.sign === sign) return;
    this.badge.dataset.sign = sign;
    const words = this.source === "screen" ? "" : t(`room.badge_${this.kind}`);
    this.badge.replaceChildren(icon(sign, "icon-s"), words);
  }

  /** @param {any} track */
  attach(track) {
    if (track === this.track) return;
    this.track?.detach(this.video);
    this.track = track;
    if (!track) this.still.clear();
    this.video.hidden = !track;
    track?.attach(this.video);
  }

  /** Shelves, screens and store cameras are shown whole; faces fill their tile when that cuts little. */
  fit() {
    const { videoWidth, videoHeight, clientWidth, clientHeight } = this.video;
    if (!videoWidth || !clientWidth) return;
    const change = videoWidth / videoHeight / (clientWidth / clientHeight);
    const cutsLittle = change > 0.5 && change < 2.2;
    const isWhole = this.source === "screen" || this.kind !== "person" || !cutsLittle;
    this.video.classList.toggle("whole", isWhole);
    this.still.image.classList.toggle("whole", isWhole);
  }

  /** @param {boolean} isSpeaking */
  setSpeaking(isSpeaking) {
    this.node.classList.toggle("speaking", isSpeaking && this.source === "camera");
  }

  /** @param {boolean} isPinned */
  setPinned(isPinned) {
    this.pinButton.setAttribute("aria-pressed", String(isPinned));
    this.pinButton.setAttribute("aria-label", t(isPinned ? "room.unpin_named" : "room.pin_named", { name: nameOf(this.participant) }));
    setIcon(this.pinButton, isPinned ? "grid" : "pin");
    setText(/** @type {Element} */ (this.pinButton.lastElementChild), t(isPinned ? "room.unpin" : "room.pin"));
  }

  /** @param {import("./layout.js").Rect | null} rect null: not on this page */
  place(rect) {
    this.node.hidden = !rect;
    if (!rect) return;
    Object.assign(this.node.style, { transform: `translate(${rect.x}px, ${rect.y}px)`, width: `${rect.width}px`, height: `${rect.height}px` });
    this.node.classList.toggle("tiny", rect.width < 220);
    this.fit();
  }

  remove() {
    this.attach(null);
    this.still.clear();
    this.node.remove();
  }
}

/** @param {any} track */
function facesUser(track) {
  const facing = track?.mediaStreamTrack?.getSettings?.().facingMode;
  return facing !== "environment";
}
