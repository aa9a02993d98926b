/** Asking for microphone and camera, and saying in plain words what stands in the way. */

/**
 * What went wrong, as the stem of catalogue keys `device.<stem>.title` and `device.<stem>.help`.
 * @typedef {"denied" | "missing" | "busy" | "insecure" | "unable" | "failed"} Trouble
 */

/** @param {unknown} error @returns {Trouble} */
export function troubleOf(error) {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError" || name === "PermissionDeniedError") return "denied";
  if (name === "NotFoundError" || name === "OverconstrainedError" || name === "DevicesNotFoundError") return "missing";
  if (name === "NotReadableError" || name === "AbortError" || name === "TrackStartError") return "busy";
  if (name === "NotSupportedError") return "unable";
  // Where the browser offers no devices at all the error says nothing, and trying again is no help.
  return browserTrouble() ?? "failed";
}

/**
 * What this browser can do, by features and not by name.
 * @returns {Trouble | null} null: everything is there.
 */
export function browserTrouble() {
  if (!globalThis.RTCPeerConnection) return "unable";
  if (!globalThis.isSecureContext) return "insecure";
  if (!navigator.mediaDevices?.getUserMedia) return "unable";
  return null;
}

/** Whether the page runs inside WeChat; decides only which help text is shown. */
export const isWeChat = () => /MicroMessenger/i.test(navigator.userAgent);

/** iPhone or iPad; decides only which help text is shown. */
export const isIos = () =>
  /iPhone|iPad|iPod/.test(navigator.userAgent) ||
  (navigator.platform === "MacIntel" && navigator.maxTouchPoints > 1);

/** Whether a screen can be shared from here (no phone can). */
export const canShareScreen = () => Boolean(navigator.mediaDevices?.getDisplayMedia) && !matchMedia("(pointer: coarse) and (max-width: 900px)").matches;

/**
 * Key of the help text for a trouble in this place.
 * @param {Trouble} trouble
 */
export function helpKey(trouble) {
  if (trouble === "denied" && isWeChat()) return "device.denied.help_wechat";
  if (trouble === "denied" && isIos()) return "device.denied.help_ios";
  if (trouble === "unable" && isIos()) return "device.unable.help_ios";
  return `device.${trouble}.help`;
}
