/**
 * The vendored livekit-client, which a deferred classic script put on the window before any
 * module runs.
 * @type {any}
 */
export const livekit = /** @type {any} */ (globalThis).LivekitClient;
