/** Times and lengths as people say them. */

import { page, t } from "./page.js";

const DAY_MS = 86_400_000;

/** @param {Date} date @param {Intl.DateTimeFormatOptions} options */
const format = (date, options) => new Intl.DateTimeFormat(page.language, options).format(date);

/** Days between two dates by the calendar. @param {Date} a @param {Date} b */
function daysApart(a, b) {
  const day = (/** @type {Date} */ d) => Date.UTC(d.getFullYear(), d.getMonth(), d.getDate());
  return Math.round((day(a) - day(b)) / DAY_MS);
}

/**
 * “今天 15:04”, “昨天 9:30”, “11月20日 9:30”.
 * @param {string} iso
 * @param {Date} [now]
 */
export function sayTime(iso, now = new Date()) {
  const date = new Date(iso);
  const clock = format(date, { hour: "numeric", minute: "2-digit", hour12: false });
  const days = daysApart(date, now);
  if (days === 0) return t("time.today", { clock });
  if (days === -1) return t("time.yesterday", { clock });
  if (days === 1) return t("time.tomorrow", { clock });
  return `${format(date, { month: "short", day: "numeric" })} ${clock}`;
}

/** The exact time, for hovering. @param {string} iso */
export const exactTime = (iso) => format(new Date(iso), { dateStyle: "full", timeStyle: "medium" });

/** “12:04”, “1:02:33”. @param {number} seconds */
export function clockLength(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${two(minutes)}:${two(whole % 60)}`;
}

/** “12 分钟”, “1 小时 5 分钟”. @param {number} seconds */
export function sayLength(seconds) {
  if (seconds < 60) return t("time.seconds", { n: Math.max(0, Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return t("time.minutes", { n: minutes });
  return t("time.hours", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
}

/** “38 MB”. @param {number} bytes */
export function saySize(bytes) {
  if (bytes < 1_000_000) return `${Math.max(1, Math.round(bytes / 1000))} kB`;
  if (bytes < 1_000_000_000) return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
