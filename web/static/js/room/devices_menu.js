/** Choosing microphone, loudspeaker and camera. */

import { t } from "../lib/page.js";
import { note } from "../lib/say.js";
import { livekit } from "../media/livekit.js";
import { openMenu } from "./menu.js";

/** @typedef {MediaDeviceKind} Kind */

/**
 * @param {any} room
 * @param {Kind} kind
 * @returns {Promise<import("./menu.js").Item[]>}
 */
async function deviceItems(room, kind) {
  const { Room } = livekit;
  /** @type {MediaDeviceInfo[]} */
  const devices = await Room.getLocalDevices(kind, false).catch(() => []);
  const active = room.getActiveDevice(kind) || "default";
  const has = devices.some((device) => device.deviceId === active);
  return devices.map((device, index) => ({
    text: device.label || t(`device.${kind}_n`, { number: index + 1 }),
    isChosen: has ? device.deviceId === active : index === 0,
    // Not `exact`: phones rename devices between visits and would then refuse.
    onPick: () => room.switchActiveDevice(kind, device.deviceId, false).catch(() => note(t("device.busy.title"))),
  }));
}

/** @param {HTMLElement} opener @param {any} room @param {Kind[]} kinds */
export async function openDeviceMenu(opener, room, kinds) {
  const canPickSpeaker = "setSinkId" in HTMLMediaElement.prototype;
  /** @type {import("./menu.js").Item[]} */
  const items = [];
  for (const kind of kinds) {
    if (kind === "audiooutput" && !canPickSpeaker) continue;
    const found = await deviceItems(room, kind);
    if (!found.length) continue;
    items.push({ text: t(`device.${kind}`), isHeading: true }, ...found);
  }
  if (!items.length) items.push({ text: t("device.none"), isHeading: true });
  openMenu(opener, items);
}
