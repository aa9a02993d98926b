/** What a host may do with somebody in the room; the server checks each of it by the room's token. */

import { ApiError, post } from "../lib/api.js";
import { t } from "../lib/page.js";
import { note } from "../lib/say.js";
import { livekit } from "../media/livekit.js";
import { openMenu } from "./menu.js";
import { nameOf } from "./tile.js";
import { tellWhy } from "./why.js";

const UNDO_MS = 5000;

/** Those who are about to be asked to leave, until the host's time to undo is over. @type {Map<string, ReturnType<typeof setTimeout>>} */
const leaving = new Map();

/** @param {string} identity */
export const isLeaving = (identity) => leaving.has(identity);

/**
 * @param {string} method of the room service
 * @param {object} request
 */
async function ask(method, request) {
  try {
    await post(`/twirp/livekit.RoomService/${method}`, request);
    return true;
  } catch (error) {
    note(error instanceof ApiError ? error.message : t("error.unknown"), { urgent: true });
    return false;
  }
}

/** @param {any} room @param {any} person */
async function mute(room, person) {
  const track = person.getTrackPublication(livekit.Track.Source.Microphone);
  const isDone = track && await ask("MutePublishedTrack", { room: room.name, identity: person.identity, track_sid: track.trackSid, muted: true });
  if (isDone) note(t("people.muted", { name: nameOf(person) }));
}

/** @param {any} room @param {any} person @param {() => void} redraw */
function remove(room, person, redraw) {
  const { identity } = person;
  const name = nameOf(person);
  leaving.set(identity, setTimeout(async () => {
    leaving.delete(identity);
    await ask("RemoveParticipant", { room: room.name, identity });
    redraw();
  }, UNDO_MS));
  note(t("people.removing", { name }), {
    action: t("common.undo"),
    shownMs: UNDO_MS,
    onAction: () => { clearTimeout(leaving.get(identity)); leaving.delete(identity); redraw(); },
  });
  redraw();
}

/**
 * The menu at somebody's row.
 * @param {HTMLElement} opener
 * @param {any} room
 * @param {any} person
 * @param {() => void} redraw
 */
export function openPersonMenu(opener, room, person, redraw) {
  const lower = () => ask("UpdateParticipant", { room: room.name, identity: person.identity, attributes: { hand: "" } });
  openMenu(opener, [
    ...(person.isMicrophoneEnabled ? [{ text: t("people.mute"), sign: "mic-off", onPick: () => mute(room, person) }] : []),
    ...(person.attributes?.hand ? [{ text: t("hand.lower"), sign: "hand", onPick: lower }] : []),
    { text: t("people.line_ask"), sign: "bars", onPick: () => tellWhy(room, person) },
    { text: t("people.remove"), sign: "exit", onPick: () => remove(room, person, redraw) },
  ]);
}
