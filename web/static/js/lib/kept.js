/** Small things kept in this browser. Private windows may forbid storage: then nothing is kept. */

/** @param {string} key @returns {string} */
export function recall(key) {
  try {
    return localStorage.getItem(`aislecast.${key}`) || "";
  } catch {
    return "";
  }
}

/** @param {string} key @param {string} value */
export function keep(key, value) {
  try {
    localStorage.setItem(`aislecast.${key}`, value);
  } catch {
    // Nothing is lost that matters now; the person is asked again next time.
  }
}

let device = "";

/** A random id of this browser, so that the same person coming back takes his old seat. */
export function deviceId() {
  device = device || recall("device");
  if (!device) {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    device = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
    keep("device", device);
  }
  return device;
}

/** Apply the person's text size to the page. */
export function applyTextSize() {
  const size = recall("size");
  if (size) document.documentElement.dataset.size = size;
}
