/**
 * What each rung means for the sender's layers. Pure: layers in, layers out.
 *
 * A picture of a shelf is worth little where price tags cannot be read: on a weak line, and in shelf
 * mode, one sharp layer is sent slowly instead of a smooth blur. A face is better small and moving.
 */

/** @typedef {import("./ladder.js").Rung} Rung */

/** What is filmed, as far as it matters here. @typedef {"walk" | "shelf" | "face"} Subject */

const TOP = "f";
const LOWEST = "q";
/** One sharp picture after the other, by rung. */
const SHARP = {
  full: { maxFramerate: 8, maxBitrate: 700_000 },
  reduced: { maxFramerate: 6, maxBitrate: 350_000 },
  slow: { maxFramerate: 5, maxBitrate: 200_000 },
};
/** A small picture that moves, on the last rung that has one. */
const SMALL = { maxFramerate: 10, maxBitrate: 90_000 };
/** Where the browser sends one layer only: the same, by rung. */
const SINGLE = { full: {}, reduced: { maxFramerate: 12, maxBitrate: 400_000 }, slow: SHARP.slow };

/**
 * The layers a rung allows and what they may cost.
 * @param {RTCRtpEncodingParameters[]} published as they were when publishing began
 * @param {Rung} rung
 * @param {Subject} subject
 * @returns {RTCRtpEncodingParameters[]}
 */
export function layersOf(published, rung, subject) {
  // Not muted: to the others it is the same picture, held; and the camera stays on for who films.
  if (rung === "sound") return published.map((layer) => ({ ...layer, active: false }));
  if (published.length < 2) return published.map((layer) => ({ ...layer, ...(subject === "shelf" ? SHARP : SINGLE)[rung] }));
  const isSharp = subject === "shelf" || (subject === "walk" && rung === "slow");
  return published.map((layer) => {
    const isTop = layer.rid === TOP;
    const isLowest = layer.rid === LOWEST;
    if (subject === "face" && rung === "slow") return { ...layer, ...(isLowest && SMALL), active: isLowest };
    if (isSharp) return { ...layer, ...(isTop && SHARP[rung]), active: isTop };
    return { ...layer, active: rung === "full" || !isTop };
  });
}

/**
 * Combines what a rung allows with what the server asks for (it switches layers off which nobody gets).
 * Remembers which switches are ours, so that the others stay as the server wants them.
 */
export class LayerSwitch {
  constructor() {
    /** Layers that we switched, by rid: how we left them, and what the server had wanted. @type {Map<string, { left: boolean, wish: boolean }>} */
    this.held = new Map();
  }

  /**
   * @param {RTCRtpEncodingParameters[]} present
   * @param {RTCRtpEncodingParameters[]} wanted same order
   * @returns {RTCRtpEncodingParameters[] | null} null: nothing to change
   */
  merge(present, wanted) {
    const wishes = present.map((layer) => {
      const isActive = layer.active !== false;
      const held = this.held.get(layer.rid ?? "");
      // A switch that does not stand as we left it was thrown by the server since.
      return held && held.left === isActive ? held.wish : isActive;
    });
    const isWatched = wishes.some(Boolean);
    // A lone sharp layer stands for all of them: it is sent when any of them is watched.
    const isLone = wanted.length > 1 && wanted.filter((layer) => layer.active !== false).length === 1;
    let isSame = true;
    const merged = present.map((layer, index) => {
      const want = wanted[index];
      const mayBe = want.active !== false;
      const active = mayBe && (isLone ? isWatched : wishes[index]);
      const { maxFramerate, maxBitrate, scaleResolutionDownBy } = want;
      const next = { ...layer, active, ...defined({ maxFramerate, maxBitrate, scaleResolutionDownBy }) };
      if (active !== wishes[index]) this.held.set(layer.rid ?? "", { left: active, wish: wishes[index] });
      else this.held.delete(layer.rid ?? "");
      isSame &&= JSON.stringify(next) === JSON.stringify({ ...layer, active: layer.active !== false });
      return next;
    });
    return isSame ? null : merged;
  }
}

/** @template {object} T @param {T} values @returns {Partial<T>} */
function defined(values) {
  return /** @type {Partial<T>} */ (Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)));
}
