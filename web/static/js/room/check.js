/** The five-second check before a call: pings, bytes down, bytes up; the server makes one advice of it. */

import { post } from "../lib/api.js";
import { page } from "../lib/page.js";

const NUM_PINGS = 8;
const PING_MS = 1500;
/** A little longer than the server gives: then the line has carried what it could. */
const STREAM_MS = 5500;
/** What goes up: about a second of what came down, within what says something and costs little. */
const UP_BYTES = { least: 40_000, most: 1_000_000 };
const RANDOM_BYTES = 65_536;

/** @typedef {import("../lib/lines.js").Advice & { usual: import("../lib/lines.js").Advice | null }} CheckResult */

/** Aborted with `signal`, or after a time. (AbortSignal.any is too new for the phones out there.) @param {AbortSignal} signal @param {number} ms */
function within(signal, ms) {
  const both = new AbortController();
  const end = () => both.abort();
  if (signal.aborted) end();
  signal.addEventListener("abort", end, { once: true });
  setTimeout(end, ms);
  return both.signal;
}

/** @param {string} path @param {AbortSignal} signal */
async function ping(path, signal) {
  /** @type {number[]} */
  const times = [];
  for (let i = 0; i < NUM_PINGS; i += 1) {
    const began = performance.now();
    try {
      const answer = await fetch(`${path}/ping`, { signal: within(signal, PING_MS), cache: "no-store" });
      if (answer.ok) times.push(performance.now() - began);
    } catch (error) {
      if (signal.aborted) throw error;
    }
  }
  times.sort((a, b) => a - b);
  return {
    rtt_ms: times.length ? Math.round(times[times.length >> 1]) : undefined,
    lost_percent: Math.round((100 * (NUM_PINGS - times.length)) / NUM_PINGS),
  };
}

/** Rate down, in kb/s; undefined if nothing came. @param {string} path @param {AbortSignal} signal */
async function down(path, signal) {
  let bytes = 0;
  let [began, last] = [0, 0];
  try {
    const answer = await fetch(`${path}/down`, { signal: within(signal, STREAM_MS), cache: "no-store" });
    const reader = answer.ok ? answer.body?.getReader() : undefined;
    for (let got = await reader?.read(); got && !got.done; got = await reader?.read()) {
      last = performance.now();
      began ||= last;
      bytes += got.value.byteLength;
    }
  } catch (error) {
    if (signal.aborted) throw error;
  }
  return last > began ? Math.round((bytes * 8) / (last - began)) : undefined;
}

/** Bytes up; the server measures them. @param {string} path @param {number | undefined} downKbps @param {AbortSignal} signal */
async function up(path, downKbps, signal) {
  const size = Math.round(Math.min(UP_BYTES.most, Math.max(UP_BYTES.least, (downKbps ?? 0) * 125)));
  const body = new Uint8Array(size);
  for (let at = 0; at < size; at += RANDOM_BYTES) crypto.getRandomValues(body.subarray(at, at + RANDOM_BYTES));
  try {
    await fetch(`${path}/up`, { method: "POST", body, signal: within(signal, STREAM_MS), headers: { "X-Requested-With": "aislecast" } });
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
  const { id } = await post("/api/network-check", page.code ? { code: page.code } : {});
  const path = `/api/network-check/${id}`;
  const pings = await ping(path, signal);
  const downKbps = await down(path, signal);
  await up(path, downKbps, signal);
  if (signal.aborted) throw new DOMException("entered meanwhile", "AbortError");
  return post(`${path}/result`, { ...pings, down_kbps: downKbps });
}
