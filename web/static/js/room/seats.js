/**
 * Asks the server for a place in the room: as soon as it is known who comes, so that a lost request costs the time in
 * which people look at the entrance, and not their first picture.
 */

import { post } from "../lib/api.js";
import { deviceId } from "../lib/kept.js";
import { page } from "../lib/page.js";

/** The host may have changed something meanwhile: what was asked for longer ago is asked for again. */
const FRESH_MS = 60_000;

/** @typedef {{ token: string, room: string, title: string, role: string, identity: string, name: string }} Seat */

export class Seats {
  /** @param {"walker" | undefined} as hosts only */
  constructor(as) {
    this.as = as;
    /** @type {{ name: string, at: number, seat: Promise<Seat> } | null} */
    this.early = null;
  }

  /** Somebody of this name will probably want in. @param {string} name */
  expect(name) {
    if (!name || this.isExpected(name)) return;
    const early = { name, at: performance.now(), seat: this.ask(name) };
    this.early = early;
    early.seat.catch(() => {
      if (this.early === early) this.early = null;
    });
  }

  /** He wants in now, or again: each answer is given out once. @param {string} name */
  take(name) {
    const { early } = this;
    const seat = early && this.isExpected(name) ? early.seat : this.ask(name);
    this.early = null;
    return seat;
  }

  /** @param {string} name */
  isExpected(name) {
    return this.early?.name === name && performance.now() - this.early.at < FRESH_MS;
  }

  /** @param {string} name @returns {Promise<Seat>} */
  ask(name) {
    const where = page.code ? { code: page.code } : { room: page.room, as: this.as };
    return post("/api/join", { ...where, name, device: deviceId() });
  }
}
