/** Scripts that a page fetches when it is there already: a line that loses one must not end the page. */

const WAITS_MS = [300, 1000, 2000, 4000, 8000];
/** With the last wait repeated some five minutes: whoever still looks at the page has lost hope. */
const MAX_TRIES = 40;

/**
 * Fetch until it is there.
 * @template T
 * @param {(tries: number) => Promise<T>} fetchOnce rejects with a TypeError where nothing came
 * @returns {Promise<T>} rejects at once with any other error: what came is no good
 */
export async function fetchPatiently(fetchOnce) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await fetchOnce(tries);
    } catch (error) {
      if (!(error instanceof TypeError) || tries + 1 >= MAX_TRIES) throw error;
    }
    await pause(WAITS_MS[Math.min(tries, WAITS_MS.length - 1)]);
  }
}

/** Until the time is over or the network comes back. @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => {
    const done = () => { clearTimeout(timer); removeEventListener("online", done); resolve(); };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
  });
}
