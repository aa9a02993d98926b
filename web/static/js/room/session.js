/**
 * One stay in a room: joining, staying through bad networks without a tap, leaving.
 *
 * Events (CustomEvent): `state` {state}, `quality` {quality}, `recording` {isRecording}.
 * States: `joining` (⇄ `waiting` for a network) → `in` ⇄ `reconnecting` → `out` (detail.reason says why).
 * While reconnecting, detail.hasMedia tells whether sound and picture go on meanwhile.
 */

import { isApiError, useToken } from "../lib/api.js";
import { livekit } from "../media/livekit.js";
import { lookAfterLine, patientPolicy, pause, waitMs } from "./comeback.js";

/** @typedef {"left" | "elsewhere" | "removed" | "ended" | "lost"} Reason */

/** The server answered twice that this seat is gone: then it is. */
const MAX_REFUSALS = 2;
/** Entering, the page waits for a network without end; a path that stays shut it tries this often. */
const MAX_ENTRIES = 3;

export class Session extends EventTarget {
  /** @param {object} roomOptions for livekit-client */
  constructor(roomOptions) {
    super();
    const { Room, RoomEvent } = livekit;
    this.room = new Room({
      adaptiveStream: true, dynacast: true, disconnectOnPageLeave: true, reconnectPolicy: patientPolicy, ...roomOptions,
    });
    this.name = "";
    this.isLeaving = false;
    this.isRejoining = false;
    /** Has been in the room: only then is there a seat to come back to. */
    this.hasEntered = false;
    /** @type {any} */
    this.seat = null;
    /** @type {import("./seats.js").Seats | null} */
    this.seats = null;
    /** Brings microphone and camera back after a rejoin; set by the page. @type {() => Promise<void>} */
    this.restoreMedia = async () => {};
    this.room
      .on(RoomEvent.Reconnecting, () => this.tell("state", { state: "reconnecting" }))
      .on(RoomEvent.SignalReconnecting, () => this.tell("state", { state: "reconnecting", hasMedia: true }))
      .on(RoomEvent.Reconnected, () => this.tell("state", { state: "in" }))
      .on(RoomEvent.Disconnected, (/** @type {number} */ why) => this.onDisconnected(why))
      .on(RoomEvent.ConnectionQualityChanged, (/** @type {string} */ quality, /** @type {any} */ who) => {
        if (who.isLocal) this.tell("quality", { quality });
      })
      .on(RoomEvent.RecordingStatusChanged, (/** @type {boolean} */ isRecording) => this.tell("recording", { isRecording }));
    lookAfterLine(this.room);
  }

  /** @param {string} type @param {object} detail */
  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @param {string} name @param {import("./seats.js").Seats} seats */
  async enter(name, seats) {
    this.name = name;
    this.seats = seats;
    this.tell("state", { state: "joining" });
    await this.connectPatiently();
    this.hasEntered = true;
    this.tell("state", { state: "in" });
    if (this.room.isRecording) this.tell("recording", { isRecording: true });
  }

  /** Ask the server for a place; it answers what we may do: room, role, identity, token. */
  async sit() {
    this.seat = await /** @type {import("./seats.js").Seats} */ (this.seats).take(this.name);
    useToken(async (isRefused) => (isRefused ? await this.sit() : this.seat).token);
    return this.seat;
  }

  async connect() {
    const seat = await this.sit();
    // Where the page came from: its policy lets it connect to nowhere else.
    await this.room.connect(location.origin, seat.token);
  }

  /** Enter once there is a network; throws what only the person or the host can change. */
  async connectPatiently() {
    let entries = 0;
    for (let tries = 0; ; tries += 1) {
      try {
        await this.connect();
        return;
      } catch (error) {
        // A server that restarts is as good as no network: it is back in moments.
        const isAway = !navigator.onLine || (isApiError(error) && ["offline", "stopping"].includes(error.code));
        if (isApiError(error) && !isAway) throw error;
        entries += isAway ? 0 : 1;
        if (entries >= MAX_ENTRIES) throw error;
        this.tell("state", { state: "waiting" });
        await pause(waitMs(tries));
      }
    }
  }

  /** @param {number} why */
  async onDisconnected(why) {
    // A browser that put the page away leaves for us; whoever looks at the page again wants to be in.
    const reason = why === livekit.DisconnectReason.CLIENT_INITIATED && !this.isLeaving ? "lost" : reasonOf(why);
    if (this.isRejoining || !this.hasEntered) return;
    if (this.isLeaving || reason !== "lost") {
      this.tell("state", { state: "out", reason: this.isLeaving ? "left" : reason });
      return;
    }
    await this.rejoin();
  }

  /** Join anew with a fresh token, for as long as it takes. No tap is asked for. */
  async rejoin() {
    this.isRejoining = true;
    this.tell("state", { state: "reconnecting" });
    let refusals = 0;
    for (let tries = 0; !this.isLeaving && refusals < MAX_REFUSALS; tries += 1) {
      await pause(waitMs(tries));
      if (this.isLeaving) break;
      try {
        await this.connect();
        this.isRejoining = false;
        await this.restoreMedia();
        this.tell("state", { state: "in" });
        this.tell("recording", { isRecording: this.room.isRecording });
        return;
      } catch (error) {
        // The next wait is longer; the person sees that we are at it.
        if (isApiError(error) && [401, 403, 404].includes(error.status)) refusals += 1;
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

/** @param {number | undefined} why livekit DisconnectReason @returns {Reason} */
function reasonOf(why) {
  const { DisconnectReason } = livekit;
  if (why === DisconnectReason.CLIENT_INITIATED) return "left";
  if (why === DisconnectReason.DUPLICATE_IDENTITY) return "elsewhere";
  if (why === DisconnectReason.PARTICIPANT_REMOVED) return "removed";
  if (why === DisconnectReason.ROOM_DELETED) return "ended";
  return "lost";
}
