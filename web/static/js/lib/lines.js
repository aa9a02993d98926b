/** How lines are and were, in words: the server judges, the catalogue speaks. */

import { get, part } from "./api.js";
import { t } from "./page.js";

/** @typedef {{ grade: string, advice: string, limit: string }} Advice */
/** @typedef {{ identity: string, name: string, sentence: string, bad_s: number, total_s: number }} PersonLine */
/** @typedef {{ id: string, started_at: string, ended_at: string | null }} Session */

/**
 * What is told to a person: how the line is, and the one thing to do.
 * @param {Advice} advice
 * @param {boolean} isWalk only a walk has a shelf mode
 */
export function adviceWords({ grade, advice }, isWalk) {
  const key = advice === "shelf_first" && !isWalk ? "slow_picture" : advice;
  return t("check.words", { grade: t(`network.grade.${grade}`), advice: t(`network.advice.${key}`) });
}

/** Why it was bad, in a sentence. @param {PersonLine} person */
export const whyWords = ({ sentence }) => t(`network.${sentence}`);

/**
 * How everybody's line was in the session of a room that ran at a time; empty if it is not remembered.
 * @param {string} room
 * @param {number} [atMs] Unix time; default: now
 * @returns {Promise<PersonLine[]>}
 */
export async function linesOf(room, atMs = Date.now()) {
  const path = `/api/rooms/${part(room)}/sessions`;
  /** @type {{ sessions: Session[] }} */
  const { sessions } = await get(path);
  const found = sessions.find((one) => Date.parse(one.started_at) <= atMs && (!one.ended_at || Date.parse(one.ended_at) >= atMs));
  if (!found) return [];
  /** @type {{ people: PersonLine[] }} */
  const { people } = await get(`${path}/${part(found.id)}/quality`);
  return people;
}

/** How a room's line usually is for who walks there; null while nobody knows. @param {string} place @returns {Promise<string | null>} */
export async function passportWords(place) {
  /** @type {Advice} */
  const passport = await get(`/api/places/${part(place)}/network?utc_offset_minutes=${-new Date().getTimezoneOffset()}`);
  return passport.grade === "unknown" ? null : adviceWords(passport, true);
}
