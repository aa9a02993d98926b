/**
 * The vendored livekit-client: two thirds of all bytes of a room page. The page asks for it at once, but the entrance
 * does not wait for it.
 */

import { fetchPatiently } from "../lib/patient.js";

/** Its exports; nothing is there until `loadLibrary` is done. @type {any} */
export const livekit = new Proxy({}, { get: (_, name) => /** @type {any} */ (globalThis).LivekitClient[name] });

/** @type {Promise<void> | null} */
let loading = null;

/** Fetch it, again and again on a bad line; rejects where a browser is too old for it. */
export function loadLibrary() {
  if (!loading) {
    const script = /** @type {HTMLScriptElement} */ (document.getElementById("library"));
    loading = fetchPatiently((tries) => (tries ? addScript(script.src) : awaitScript(script))).then(() => {
      if (!isHere()) throw new DOMException("too old", "NotSupportedError");
    });
  }
  return loading;
}

const isHere = () => Boolean(/** @type {any} */ (globalThis).LivekitClient);

/** The page's own try, which may be over already. @param {HTMLScriptElement} script @returns {Promise<void>} */
function awaitScript(script) {
  return new Promise((resolve, reject) => {
    const look = () => (isHere() ? resolve() : reject(new TypeError("not fetched")));
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", look);
    // By then it has come or failed, perhaps before anybody listened.
    if (isHere() || document.readyState === "complete") look();
    else addEventListener("load", look);
  });
}

/** @param {string} address @returns {Promise<void>} */
function addScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => { script.remove(); reject(new TypeError("not fetched")); });
    script.src = address;
    document.head.append(script);
  });
}
