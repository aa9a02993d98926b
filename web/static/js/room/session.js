/**
 * One stay in a room: joining, staying through bad networks without a tap, leaving.
 *
 * Events (CustomEvent): `state` {state}, `quality` {level}, `recording` {isRecording}.
 * States: `joining` → `in` ⇄ `reconnecting` → `out` (detail.reason says why).
 */

import { post, useToken } from "../lib/api.js";
import { deviceId } from "../lib/kept.js";
import { page } from "../lib/page.js";
import { livekit } from "../media/livekit.js";

/** @typedef {"left" | "elsewhere" | "removed" | "ended" | "lost"} Reason */

/** Waits between our own attempts once the client library has given up, in ms. */
const RETRY_MS = [500, 1500, 3000, 5000, 8000, 8000, 10_000, 10_000];

export class Session extends EventTarget {
  /** @param {object} roomOptions for livekit-client */
  constructor(roomOptions) {
    super();
    const { Room, RoomEvent } = livekit;
    this.room = new Room({ adaptiveStream: true, dynacast: true, disconnectOnPageLeave: true, ...roomOptions });
    this.name = "";
    this.isLeaving = false;
    this.isRejoining = false;
    /** @type {any} */
    this.seat = null;
    /** Brings microphone and camera back after a rejoin; set by the page. @type {() => Promise<void>} */
    this.restoreMedia = async () => {};
    this.room
      .on(RoomEvent.Reconnecting, () => this.tell("state", { state: "reconnecting" }))
      .on(RoomEvent.SignalReconnecting, () => this.tell("state", { state: "reconnecting" }))
      .on(RoomEvent.Reconnected, () => this.tell("state", { state: "in" }))
      .on(RoomEvent.Disconnected, (/** @type {number} */ why) => this.onDisconnected(why))
      .on(RoomEvent.ConnectionQualityChanged, (/** @type {string} */ quality, /** @type {any} */ who) => {
        if (who.isLocal) this.tell("quality", { level: levelOf(quality) });
      })
      .on(RoomEvent.RecordingStatusChanged, (/** @type {boolean} */ isRecording) => this.tell("recording", { isRecording }));
  }

  /** @param {string} type @param {object} detail */
  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @param {string} name @param {"walker" | undefined} as */
  async enter(name, as) {
    this.name = name;
    this.as = as;
    this.tell("state", { state: "joining" });
    await this.connect();
    this.tell("state", { state: "in" });
    if (this.room.isRecording) this.tell("recording", { isRecording: true });
  }

  /** Ask the server for a place; it answers what we may do: room, role, identity, token. */
  async sit() {
    const ask = page.code ? { code: page.code } : { room: page.room, as: this.as };
    // By the link or the host's session, not by an older seat, which may have run out.
    useToken(null);
    this.seat = await post("/api/join", { ...ask, name: this.name, device: deviceId() });
    useToken(async (isRefused) => (isRefused ? await this.sit() : this.seat).token);
    return this.seat;
  }

  async connect() {
    const seat = await this.sit();
    const options = seat.ice_servers ? { rtcConfig: { iceServers: seat.ice_servers } } : {};
    await this.room.connect(seat.url, seat.token, options);
  }

  /** @param {number} why */
  async onDisconnected(why) {
    const reason = reasonOf(why);
    if (this.isRejoining) return;
    if (this.isLeaving || reason !== "lost") {
      this.tell("state", { state: "out", reason: this.isLeaving ? "left" : reason });
      return;
    }
    await this.rejoin();
  }

  /** Try again with a fresh token until it works or hope is gone. No tap is asked for. */
  async rejoin() {
    this.isRejoining = true;
    this.tell("state", { state: "reconnecting" });
    for (const wait of RETRY_MS) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (this.isLeaving) break;
      try {
        await this.connect();
        this.isRejoining = false;
        await this.restoreMedia();
        this.tell("state", { state: "in" });
        this.tell("recording", { isRecording: this.room.isRecording });
        return;
      } catch {
        // The next wait is longer; the person sees that we are at it.
      }
    }
    this.isRejoining = false;
    this.tell("state", { state: "out", reason: this.isLeaving ? "left" : "lost" });
  }

  async leave() {
    this.isLeaving = true;
    await this.room.disconnect();
    this.tell("state", { state: "out", reason: "left" });
  }
}

/** Bars for a livekit quality. @param {string} quality @returns {0 | 1 | 2 | 3} */
function levelOf(quality) {
  return { excellent: 3, good: 2, poor: 1, lost: 0 }[quality] ?? 3;
}

/** @param {number | undefined} why livekit DisconnectReason @returns {Reason} */
function reasonOf(why) {
  const { DisconnectReason } = livekit;
  if (why === DisconnectReason.CLIENT_INITIATED) return "left";
  if (why === DisconnectReason.DUPLICATE_IDENTITY) return "elsewhere";
  if (why === DisconnectReason.PARTICIPANT_REMOVED) return "removed";
  if (why === DisconnectReason.ROOM_DELETED) return "ended";
  return "lost";
}
