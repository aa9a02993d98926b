/**
 * What the server itself tells this page beside the protocol. A packet counts only if it names no
 * sender: everything a person in the room sends carries that person's identity.
 */

import { livekit } from "../media/livekit.js";

/**
 * @param {any} room
 * @param {Record<string, (data: Uint8Array) => void>} listeners by topic
 */
export function listenToServer(room, listeners) {
  room.on(livekit.RoomEvent.DataReceived, (
    /** @type {Uint8Array} */ data, /** @type {any} */ sender, /** @type {unknown} */ _kind,
    /** @type {string | undefined} */ topic, /** @type {unknown} */ _encryption, /** @type {string | undefined} */ identity,
  ) => {
    // The library knows no participant for somebody who has just left, but still his identity.
    if (sender || identity || !topic || !Object.hasOwn(listeners, topic)) return;
    listeners[topic](data);
  });
}
