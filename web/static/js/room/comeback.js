/**
 * Coming back after the network was gone: when to try again, and noticing at once that it may work.
 *
 * The library resumes by itself on `online` and when its socket closes. It does not see a phone that
 * moves from Wi-Fi to 4G without going offline, nor a socket that died while the phone was locked:
 * that is watched here.
 */

/** How long the library may try with the token it has; after that the page joins anew with a fresh one. */
const LIBRARY_MS = 10 * 60_000;
const FIRST_MS = 400;
const LONGEST_MS = 10_000;
const GROWTH = 1.7;
/** Without any network a try costs nothing and its end is told by an event. */
const OFFLINE_MS = 1000;
/** A page that was hidden for less than this has not lost anything. */
const HIDDEN_MS = 5000;
/** How long the line gets to show a sign of life. */
const LISTEN_MS = 700;

/**
 * Wait before try number `tries` (from 0), spread so that a room does not come back in one moment.
 * @param {number} tries
 * @param {() => number} [random]
 */
export function waitMs(tries, random = Math.random) {
  const grown = Math.min(LONGEST_MS, FIRST_MS * GROWTH ** tries);
  return Math.round(grown * (0.5 + random()));
}

/** A livekit-client ReconnectPolicy that does not give up while there is hope. */
export const patientPolicy = {
  /** @param {{ retryCount: number, elapsedMs: number }} context @returns {number | null} */
  nextRetryDelayInMs({ retryCount, elapsedMs }) {
    if (elapsedMs > LIBRARY_MS) return null;
    if (navigator.onLine === false) return OFFLINE_MS;
    return retryCount === 0 ? Math.round(Math.random() * 200) : waitMs(retryCount - 1);
  },
};

/**
 * Wait; shorter when the network or the person comes back meanwhile.
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function pause(ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      document.removeEventListener("visibilitychange", onVisible);
      resolve();
    };
    const onVisible = () => { if (document.visibilityState === "visible") done(); };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    document.addEventListener("visibilitychange", onVisible);
  });
}

/** Bytes that have come in on the path in use; null where nobody can tell. @param {any} room @returns {Promise<number | null>} */
async function receivedBytes(room) {
  const people = [room.localParticipant, ...room.remoteParticipants.values()];
  const tracks = people.flatMap((one) => [...one.trackPublications.values()]).map((publication) => publication.track).filter(Boolean);
  for (const track of tracks) {
    /** @type {RTCStatsReport | undefined} */
    const report = await track.getRTCStatsReport?.().catch(() => undefined);
    for (const row of report?.values() ?? []) {
      if (row.type === "transport" && typeof row.bytesReceived === "number") return row.bytesReceived;
    }
  }
  return null;
}

/** Whether anything comes in from the server now; unknown counts as no. @param {any} room */
export async function isLineAlive(room) {
  const before = await receivedBytes(room);
  if (before === null) return false;
  await new Promise((resolve) => setTimeout(resolve, LISTEN_MS));
  return ((await receivedBytes(room)) ?? before) > before;
}

/**
 * Look after a room's line: after a change of network, and when the person comes back to the page,
 * the path is renewed at once if nothing comes in on it.
 * @param {any} room
 */
export function lookAfterLine(room) {
  let isBusy = false;
  let hiddenSince = 0;
  const renew = async () => {
    if (isBusy || room.state !== "connected") return;
    isBusy = true;
    try {
      // The one public way to have the library resume its signalling and restart ICE.
      if (!(await isLineAlive(room)) && room.state === "connected") await room.simulateScenario("signal-reconnect");
    } catch {
      // The library has noticed by itself meanwhile.
    } finally {
      isBusy = false;
    }
  };
  /** @type {any} */
  const connection = /** @type {any} */ (navigator).connection;
  let kind = connection?.type;
  // Also fired for every new estimate of the rate: only another kind of network means another path.
  connection?.addEventListener?.("change", () => {
    if (connection.type === kind) return;
    kind = connection.type;
    if (kind !== "none") renew();
  });
  addEventListener("online", renew);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") hiddenSince = performance.now();
    else if (performance.now() - hiddenSince > HIDDEN_MS) renew();
  });
}
