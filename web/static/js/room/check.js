/**
 * The five-second check before a call: pings, then bytes down and up at once; the server makes one advice of
 * it. However bad the line, it is over after `CHECK_MS`, with what is known by then.
 */

import { ApiError, post } from "../lib/api.js";
import { page } from "../lib/page.js";

/** All of it; and when the measuring ends, so that there is time for the answer. */
export const CHECK_MS = 6000;
const MEASURED_MS = 4500;
const BEGIN_MS = 2000;
const MOST_KBPS = 1_000_000;
const NUM_PINGS = 8;
const PINGS_MS = 1200;
/** One that takes so much longer than the others was lost: TCP sent it again. */
const LOST_MS = 300;
/** What goes up at most; on a slow line the time is over first. */
const UP_BYTES = 1_000_000;
const RANDOM_BYTES = 65_536;

/** @typedef {import("../lib/lines.js").Advice & { usual: import("../lib/lines.js").Advice | null }} CheckResult */

/** A line on which a ping came back and nothing else did. @type {CheckResult} */
const HARDLY_ANY = { grade: "bad", advice: "voice_first", limit: "", usual: null };

/** Aborted with `signal`, or at a time. (AbortSignal.any is too new for the phones out there.) @param {AbortSignal} signal @param {number} until as of performance.now() */
function within(signal, until) {
  const both = new AbortController();
  const end = () => both.abort();
  if (signal.aborted) end();
  signal.addEventListener("abort", end, { once: true });
  setTimeout(end, until - performance.now());
  return both.signal;
}

/** @param {string} path @param {AbortSignal} signal @param {number} until */
async function ping(path, signal, until) {
  /** @type {number[]} */
  const times = [];
  let waitedMs = 0;
  for (let i = 0; i < NUM_PINGS && performance.now() < until; i += 1) {
    const began = performance.now();
    try {
      const answer = await fetch(`${path}/ping`, { signal: within(signal, until), cache: "no-store" });
      if (answer.ok) times.push(performance.now() - began);
    } catch (error) {
      if (signal.aborted) throw error;
      waitedMs = performance.now() - began;
    }
  }
  times.sort((a, b) => a - b);
  const middle = times[times.length >> 1];
  // Where none came back all that is known of the delay is how long it is at least.
  if (middle === undefined) return { rtt_ms: Math.round(waitedMs) };
  const numLost = [...times, waitedMs].filter((ms) => ms > 2 * middle + LOST_MS).length;
  return { rtt_ms: Math.round(middle), lost_percent: Math.round((100 * numLost) / NUM_PINGS) };
}

/** Rate down, in kb/s; undefined if nothing came. @param {string} path @param {AbortSignal} signal @param {number} until */
async function down(path, signal, until) {
  let bytes = 0;
  let [began, last] = [0, 0];
  try {
    const answer = await fetch(`${path}/down`, { signal: within(signal, until), cache: "no-store" });
    const reader = answer.ok ? answer.body?.getReader() : undefined;
    for (let got = await reader?.read(); got && !got.done; got = await reader?.read()) {
      last = performance.now();
      began ||= last;
      bytes += got.value.byteLength;
    }
  } catch (error) {
    if (signal.aborted) throw error;
  }
  // All came within one tick of a coarse clock: beyond a gigabit the figure means nothing.
  return last > began ? Math.min(MOST_KBPS, Math.round((bytes * 8) / (last - began))) : undefined;
}

/** Bytes up; the server measures them. @param {string} path @param {AbortSignal} signal @param {number} until */
async function up(path, signal, until) {
  const body = new Uint8Array(UP_BYTES);
  for (let at = 0; at < UP_BYTES; at += RANDOM_BYTES) crypto.getRandomValues(body.subarray(at, at + RANDOM_BYTES));
  try {
    await fetch(`${path}/up`, { method: "POST", body, signal: within(signal, until), headers: { "X-Requested-With": "aislecast" } });
  } catch (error) {
    // Cut off because the line is slow: the server knows how far it came.
    if (signal.aborted) throw error;
  }
}

/**
 * Check the line. Throws what the API throws, and when it is aborted.
 * @param {AbortSignal} signal
 * @returns {Promise<CheckResult>}
 */
export async function checkLine(signal) {
  const began = performance.now();
  const { id } = await post("/api/network-check", page.code ? { code: page.code } : {}, within(signal, began + BEGIN_MS));
  const path = `/api/network-check/${id}`;
  const pings = await ping(path, signal, performance.now() + PINGS_MS);
  // A call goes both ways at once, too.
  const [downKbps] = await Promise.all([down(path, signal, began + MEASURED_MS), up(path, signal, began + MEASURED_MS)]);
  if (signal.aborted) throw new DOMException("entered meanwhile", "AbortError");
  const hasAnswered = pings.lost_percent !== undefined;
  const result = await post(`${path}/result`, { ...pings, down_kbps: downKbps }, within(signal, began + CHECK_MS)).catch((error) => {
    const isSilent = !(error instanceof ApiError) || error.code === "offline";
    if (signal.aborted || !hasAnswered || !isSilent) throw error;
    return HARDLY_ANY;
  });
  if (result.grade !== "unknown") return result;
  // Neither way did anything come through.
  if (!hasAnswered) throw new ApiError("offline", 0);
  return HARDLY_ANY;
}
