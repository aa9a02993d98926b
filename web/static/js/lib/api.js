/** The JSON API: one way to call it, one kind of error. */

import { hasText, t } from "./page.js";

/** A refused or failed call; `message` is already in the person's words. */
export class ApiError extends Error {
  /** @param {string} code @param {number} status */
  constructor(code, status) {
    super(hasText(`error.${code}`) ? t(`error.${code}`) : t("error.unknown"));
    this.name = "ApiError";
    this.code = code;
    this.status = status;
  }
}

/** By its name: the entrance and the room behind it have this module each. @param {any} error @returns {error is ApiError} */
export const isApiError = (error) => error instanceof Error && error.name === "ApiError";

/**
 * Whoever came into a room by a link has no session, but a token that says what he may do there.
 * @type {((isRefused: boolean) => Promise<string>) | null} `isRefused`: the last one has run out
 */
let bearer = null;

/** Let further calls carry a room's token. @param {typeof bearer} giveToken */
export function useToken(giveToken) {
  bearer = giveToken;
}

/**
 * @param {string} path
 * @param {RequestInit} options
 */
async function send(path, options) {
  const once = async (/** @type {boolean} */ isRefused) => {
    const headers = { ...options.headers, ...(bearer && { Authorization: `Bearer ${await bearer(isRefused)}` }) };
    return fetch(path, { ...options, headers, credentials: "same-origin", cache: "no-store" });
  };
  try {
    const response = await once(false);
    return bearer && response.status === 401 ? await once(true) : response;
  } catch (error) {
    throw error instanceof ApiError ? error : new ApiError("offline", 0);
  }
}

/**
 * @param {"GET" | "POST" | "DELETE" | "PATCH"} method
 * @param {string} path
 * @param {object} [body]
 * @param {AbortSignal} [signal] given up as if offline
 * @returns {Promise<any>}
 */
export async function call(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = { "X-Requested-With": "aislecast" };
  if (body) headers["Content-Type"] = "application/json";
  const response = await send(path, { method, headers, body: body && JSON.stringify(body), signal });
  const text = await response.text();
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    // An answer that is not ours (a proxy's page): the status speaks.
  }
  if (!response.ok) throw new ApiError(answer.code || `http_${response.status}`, response.status);
  return answer;
}

/** The address of a picture that only we may fetch; revoke it when it is not shown any more. @param {string} path */
export async function pictureUrl(path) {
  const response = await send(path, {});
  if (!response.ok) throw new ApiError(`http_${response.status}`, response.status);
  return URL.createObjectURL(await response.blob());
}

export const get = (/** @type {string} */ path) => call("GET", path);
export const post = (/** @type {string} */ path, /** @type {object} */ body = {}, /** @type {AbortSignal | undefined} */ signal = undefined) => call("POST", path, body, signal);
export const remove = (/** @type {string} */ path) => call("DELETE", path);

/** A path part. @param {string} value */
export const part = (value) => encodeURIComponent(value);
