/** From the entrance onto the stage: the same for a room and a walk. */

import { byId, setText } from "../lib/dom.js";
import { clockLength } from "../lib/when.js";

/**
 * Enter, then show the stage with its clock running.
 * @param {import("./entrance.js").Wish} wish
 * @param {import("./entrance.js").Entrance} entrance
 * @param {import("./session.js").Session} session
 */
export async function arrive({ name, seats }, entrance, session) {
  entrance.follow(session);
  await session.enter(name, seats);
  entrance.hide();
  document.body.classList.add("dark");
  byId("stage").hidden = false;
  const began = performance.now();
  setInterval(() => setText(byId("clock"), clockLength((performance.now() - began) / 1000)), 1000);
}
