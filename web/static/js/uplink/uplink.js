/**
 * The own sender's ladder at work: measures what the line carries, and brings the sender's layers to
 * the rung that fits. Undone by itself when the line gets better.
 */

import { livekit } from "../media/livekit.js";
import { LayerSwitch, layersOf } from "./encodings.js";
import { UplinkLadder } from "./ladder.js";

const EVERY_MS = 1000;
/** What the server hears of our rung; it passes it on to nobody. */
const TOPIC = "aislecast.uplink";
/** So long the rung we begin with is caution; then it is what the line carries. */
const START_MS = 15_000;

/** @typedef {import("./ladder.js").Rung} Rung */
/** @typedef {import("./ladder.js").Sample} Sample */

/**
 * What the browser's statistics say about a sender.
 * @param {RTCStatsReport} report
 * @param {boolean} isLost
 * @returns {Sample}
 */
export function readSample(report, isLost) {
  /** @type {Sample} */
  const sample = { availableBps: null, loss: null, rttMs: null, isLost };
  const rows = [...report.values()];
  const path = rows.find((row) => row.type === "transport")?.selectedCandidatePairId;
  const pair = rows.find((row) => row.type === "candidate-pair" && (path ? row.id === path : row.nominated));
  if (pair?.availableOutgoingBitrate > 0) sample.availableBps = pair.availableOutgoingBitrate;
  if (pair?.currentRoundTripTime > 0) sample.rttMs = pair.currentRoundTripTime * 1000;
  const lost = rows.filter((row) => row.type === "remote-inbound-rtp" && typeof row.fractionLost === "number").map((row) => row.fractionLost);
  if (lost.length) sample.loss = Math.max(...lost);
  return sample;
}

/** What the layers that are on may take together. @param {RTCRtpEncodingParameters[]} layers */
function wantedBps(layers) {
  const active = layers.filter((layer) => layer.active !== false);
  return active.reduce((sum, { maxBitrate }) => sum + (maxBitrate ?? Infinity), 0);
}

export class Uplink {
  /**
   * @param {any} room
   * @param {object} options
   * @param {Rung} options.start where a picture begins
   * @param {import("./encodings.js").Subject} options.subject what is filmed
   * @param {(rung: Rung) => void} options.onRung told of every other rung, and where it stands when the camera goes on again
   * @param {() => void} [options.onRest] the camera is off
   */
  constructor(room, { start, subject, onRung, onRest = () => {} }) {
    this.room = room;
    this.onRung = onRung;
    this.onRest = onRest;
    this.ladder = new UplinkLadder(start);
    this.subject = subject;
    /** There is a picture to send. */
    this.isOn = false;
    /** livekit LocalTrackPublication. @type {any} */
    this.publication = null;
    /** @type {RTCRtpSender | null} */
    this.sender = null;
    /** @type {RTCRtpEncodingParameters[]} */
    this.published = [];
    this.layers = new LayerSwitch();
    this.isBusy = false;
    /** The rung has changed at least once. */
    this.hasMoved = false;
    /** What the server knows. */
    this.told = "";
    /** When the first camera went on, performance.now(); 0: not yet. */
    this.beganAt = 0;
    setInterval(() => this.tick(), EVERY_MS);
  }

  /** Look after every camera that goes on in the room. */
  follow() {
    const { RoomEvent, Track } = livekit;
    this.room.on(RoomEvent.LocalTrackPublished, (/** @type {any} */ publication) => {
      if (publication.source === Track.Source.Camera) this.use(publication);
    });
  }

  /** @param {any} publication the camera's, new after every return to the room */
  use(publication) {
    this.publication = publication;
    this.sender = null;
    // A seat that was taken anew knows nothing of before.
    this.told = "";
    this.beganAt ||= performance.now();
    this.tick();
  }

  /** @param {import("./encodings.js").Subject} subject a shelf is sent sharp and slow, whatever the line carries */
  film(subject) {
    this.subject = subject;
    return this.tick();
  }

  /** Whether on every rung it is one sharp layer that is sent. */
  isSharp() {
    return this.subject === "shelf" || this.published.length < 2;
  }

  async tick() {
    const track = this.publication?.track;
    this.turn(Boolean(track?.sender) && !this.publication.isMuted);
    if (!this.isOn || this.isBusy || this.room.state !== "connected") return;
    this.isBusy = true;
    try {
      if (track.sender !== this.sender) {
        this.sender = track.sender;
        this.published = track.sender.getParameters().encodings.map((/** @type {RTCRtpEncodingParameters} */ layer) => ({ ...layer }));
        this.layers = new LayerSwitch();
      }
      const isLost = this.room.localParticipant.connectionQuality === "lost";
      const before = this.ladder.rung;
      const sample = readSample(await track.sender.getStats(), isLost);
      sample.wantedBps = wantedBps(track.sender.getParameters().encodings);
      const rung = this.ladder.update(performance.now(), sample);
      await this.apply(rung);
      this.hasMoved ||= rung !== before;
      this.announce();
      if (rung !== before) this.onRung(rung);
    } catch {
      // The sender was exchanged or its parameters were changed by the library meanwhile: the next tick sees it.
    } finally {
      this.isBusy = false;
    }
  }

  /** @param {boolean} isOn the camera is */
  turn(isOn) {
    if (isOn === this.isOn) return;
    this.isOn = isOn;
    this.ladder.rest();
    if (isOn && this.hasMoved) this.onRung(this.ladder.rung);
    if (!isOn) this.onRest();
  }

  /** Tell the server where we stand: with the picture held back here it sees a calm, empty line. */
  announce() {
    const isStart = this.ladder.rung !== "full" && !this.hasMoved && performance.now() - this.beganAt < START_MS;
    const step = isStart ? "starting" : this.ladder.rung;
    if (step === this.told) return;
    this.told = step;
    const data = new TextEncoder().encode(JSON.stringify({ step }));
    // Lost only together with the connection, and then it is told anew.
    this.room.localParticipant.publishData(data, { reliable: true, topic: TOPIC }).catch(() => {});
  }

  /** @param {Rung} rung */
  async apply(rung) {
    const sender = /** @type {RTCRtpSender} */ (this.sender);
    const parameters = sender.getParameters();
    if (parameters.encodings.length !== this.published.length) return;
    const encodings = this.layers.merge(parameters.encodings, layersOf(this.published, rung, this.subject));
    if (encodings) await sender.setParameters({ ...parameters, encodings });
  }
}
