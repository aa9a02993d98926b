/** All tiles of a room: who gets one, in which order, on which page, how large. */

import { byId, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { livekit } from "../media/livekit.js";
import { gridRects, spotlightRects } from "./layout.js";
import { kindOf, Tile } from "./tile.js";

const PER_PAGE_WIDE = 9;
const PER_PAGE_NARROW = 8;
/** Somebody who speaks is brought to the front page for at least this long. */
const FRONT_MS = 10_000;
/** The age of held pictures is said anew this often. */
const AGE_MS = 1000;
/** Room for the pager below an even grid, in px. */
const PAGER_HEIGHT = 56;

export class Tiles {
  /** @param {HTMLElement} holder @param {any} room */
  constructor(holder, room) {
    this.holder = holder;
    this.room = room;
    /** @type {Map<string, Tile>} */
    this.tiles = new Map();
    this.pinned = "";
    /** The person chose the even grid although something could be large. */
    this.wantsGrid = false;
    this.page = 0;
    /** When each identity last spoke, performance.now(). @type {Map<string, number>} */
    this.spoke = new Map();
    this.pageCount = 1;
    byId("page-before").addEventListener("click", () => this.turn(-1));
    byId("page-next").addEventListener("click", () => this.turn(1));
    new ResizeObserver(() => this.arrange()).observe(holder);
    setInterval(() => { for (const tile of this.tiles.values()) tile.tellAge(); }, AGE_MS);
    this.listen();
  }

  listen() {
    const { RoomEvent } = livekit;
    const update = () => this.update();
    for (const event of [
      RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected, RoomEvent.TrackPublished,
      RoomEvent.TrackUnpublished, RoomEvent.TrackSubscribed, RoomEvent.TrackUnsubscribed,
      RoomEvent.TrackMuted, RoomEvent.TrackUnmuted, RoomEvent.LocalTrackPublished,
      RoomEvent.LocalTrackUnpublished, RoomEvent.ParticipantNameChanged, RoomEvent.ConnectionQualityChanged,
      RoomEvent.ParticipantAttributesChanged, RoomEvent.Connected, RoomEvent.Reconnected,
      RoomEvent.ParticipantPermissionsChanged, RoomEvent.Disconnected, RoomEvent.TrackStreamStateChanged,
    ]) this.room.on(event, update);
    this.room.on(RoomEvent.ActiveSpeakersChanged, (/** @type {any[]} */ speakers) => this.onSpeakers(speakers));
  }

  /** @param {import("./stills.js").Still} still */
  showStill(still) {
    for (const tile of this.tiles.values()) tile.showStill(still);
  }

  /** @param {any[]} speakers */
  onSpeakers(speakers) {
    const now = performance.now();
    const speaking = new Set(speakers.map((participant) => participant.identity));
    for (const identity of speaking) this.spoke.set(identity, now);
    let isHidden = false;
    for (const tile of this.tiles.values()) {
      const isSpeaking = speaking.has(tile.participant.identity);
      tile.setSpeaking(isSpeaking);
      if (isSpeaking && tile.node.hidden && tile.source === "camera") isHidden = true;
    }
    if (isHidden && this.page === 0) this.arrange();
  }

  /** Make, change and remove tiles so that they match the room. */
  update() {
    const wanted = new Map();
    for (const participant of [this.room.localParticipant, ...this.room.remoteParticipants.values()]) {
      if (hasSeat(participant)) wanted.set(`${participant.identity}/camera`, [participant, "camera"]);
      if (participant.isScreenShareEnabled) wanted.set(`${participant.identity}/screen`, [participant, "screen"]);
    }
    for (const [key, tile] of this.tiles) {
      const [participant] = wanted.get(key) ?? [];
      if (participant === tile.participant && kindOf(participant) === tile.kind) continue;
      tile.remove();
      this.tiles.delete(key);
      if (!participant && this.pinned === key) this.pinned = "";
    }
    for (const [key, [participant, source]] of wanted) {
      const tile = this.tiles.get(key);
      if (tile) {
        tile.update();
      } else {
        const fresh = new Tile(participant, source, (which) => this.pin(which));
        this.tiles.set(key, fresh);
        this.holder.append(fresh.node);
        if (source === "screen") this.wantsGrid = false;
      }
    }
    this.arrange();
  }

  /** @param {Tile} tile */
  pin(tile) {
    const isLarge = this.largeTile() === tile;
    this.pinned = isLarge ? "" : tile.key;
    this.wantsGrid = isLarge;
    this.page = 0;
    this.arrange();
  }

  /** Switch between the even grid and one large picture. */
  toggleLayout() {
    const large = this.largeTile();
    const first = large ?? this.ordered()[0];
    if (first) this.pin(first);
  }

  /** The tile that is large now, if any. @returns {Tile | undefined} */
  largeTile() {
    if (this.pinned) return this.tiles.get(this.pinned);
    if (this.wantsGrid) return undefined;
    const all = [...this.tiles.values()].filter((tile) => !tile.participant.isLocal || tile.source === "screen");
    return all.find((tile) => tile.source === "screen") ?? all.find((tile) => tile.kind === "walk" && tile.track);
  }

  /** Order on the stage: screens, walks, recent speakers, people with a picture, the rest; self last. */
  ordered() {
    const now = performance.now();
    const rank = (/** @type {Tile} */ tile) => {
      if (tile.source === "screen") return 0;
      if (tile.kind === "walk") return 1;
      if (tile.participant.isLocal) return 6;
      const isRecent = now - (this.spoke.get(tile.participant.identity) ?? -Infinity) < FRONT_MS;
      if (isRecent && this.pageCount > 1) return 2;
      if (tile.kind === "camera") return 3;
      return tile.track ? 4 : 5;
    };
    const since = (/** @type {Tile} */ tile) => tile.participant.joinedAt?.getTime() ?? 0;
    const order = [...this.tiles.values()].sort((a, b) => rank(a) - rank(b) || since(a) - since(b));
    return order;
  }

  /** Place every tile. */
  arrange() {
    const box = { x: 0, y: 0, width: this.holder.clientWidth, height: this.holder.clientHeight };
    if (!box.width || !box.height) return;
    const large = this.largeTile();
    const others = this.ordered().filter((tile) => tile !== large);
    const perPage = large ? Math.max(1, spotlightRects(others.length, box).fits) : box.width < 600 ? PER_PAGE_NARROW : PER_PAGE_WIDE;
    this.pageCount = Math.max(1, Math.ceil(others.length / perPage));
    this.page = Math.min(this.page, this.pageCount - 1);
    if (!large && this.pageCount > 1) box.height -= PAGER_HEIGHT;
    const start = this.page * perPage;
    const shown = others.slice(start, start + perPage);
    const { large: largeRect, small } = large ? spotlightRects(shown.length, box) : { large: null, small: gridRects(shown.length, box) };
    for (const tile of this.tiles.values()) {
      const index = shown.indexOf(tile);
      tile.place(tile === large ? largeRect : index >= 0 ? small[index] : null);
      tile.setPinned(tile === large);
      tile.node.classList.toggle("large", tile === large);
    }
    this.showPager(largeRect ? box.height - largeRect.height : 0);
  }

  /** @param {number} bottom distance from the bottom of the stage, in px */
  showPager(bottom) {
    byId("pager").style.bottom = `${bottom + 4}px`;
    byId("pager").hidden = this.pageCount < 2;
    setText(byId("page-words"), t("room.page", { page: this.page + 1, pages: this.pageCount }));
    /** @type {HTMLButtonElement} */ (byId("page-before")).disabled = this.page === 0;
    /** @type {HTMLButtonElement} */ (byId("page-next")).disabled = this.page >= this.pageCount - 1;
  }

  /** @param {number} by */
  turn(by) {
    this.page = Math.max(0, Math.min(this.pageCount - 1, this.page + by));
    this.arrange();
  }
}

/** Whether somebody has a tile: those who only watch are in the list of people, not on the stage. */
function hasSeat(/** @type {any} */ participant) {
  if (participant.trackPublications.size) return true;
  return participant.permissions?.canPublish ?? true;
}
