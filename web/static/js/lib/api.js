/** The JSON API: one way to call it, one kind of error. */

import { hasText, t } from "./page.js";

/** A refused or failed call; `message` is already in the person's words. */
export class ApiError extends Error {
  /** @param {string} code @param {number} status */
  constructor(code, status) {
    super(hasText(`error.${code}`) ? t(`error.${code}`) : t("error.unknown"));
    this.code = code;
    this.status = status;
  }
}

/**
 * @param {"GET" | "POST" | "DELETE" | "PATCH"} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>}
 */
export async function call(method, path, body) {
  /** @type {Record<string, string>} */
  const headers = { "X-Requested-With": "aislecast" };
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch {
    throw new ApiError("offline", 0);
  }
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

export const get = (/** @type {string} */ path) => call("GET", path);
export const post = (/** @type {string} */ path, /** @type {object} */ body = {}) => call("POST", path, body);
export const remove = (/** @type {string} */ path) => call("DELETE", path);

/** A path part. @param {string} value */
export const part = (value) => encodeURIComponent(value);
