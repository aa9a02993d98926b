/**
 * The entrance, and what is behind it. The entrance works alone: on a narrow line what is behind it takes seconds, in
 * which people read and type a name.
 */

import { applyTextSize } from "../lib/kept.js";
import { fetchPatiently } from "../lib/patient.js";
import { loadLibrary } from "../media/livekit.js";
import { Entrance } from "./entrance.js";

/** @param {{ isWalk: boolean }} options */
export function openDoor({ isWalk }) {
  applyTextSize();
  const stage = loadStage();
  // Whoever wants in is told.
  stage.catch(() => {});
  const entrance = new Entrance({
    isWalk,
    stage,
    onEnter: async (wish) => (await stage).enter(wish, entrance),
  });
}

/** @returns {Promise<{ enter: (wish: import("./entrance.js").Wish, entrance: Entrance) => Promise<void> }>} */
async function loadStage() {
  const address = /** @type {HTMLLinkElement} */ (document.getElementById("behind")).href;
  // What is on the stage uses the library from its first line on.
  await loadLibrary();
  // Into the cache first: an import does not tell what did not come from what came and failed.
  await fetchPatiently(async () => {
    if (!(await fetch(address)).ok) throw new TypeError("not fetched");
  });
  // A browser remembers for an address that it could not be imported.
  return import(address).catch(() => import(`${address}?again`));
}
