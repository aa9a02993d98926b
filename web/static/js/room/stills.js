/**
 * Pictures one by one, where no film gets through (topic `aislecast.still`): chunks in, whole
 * pictures out. The layout of a chunk is in `signaling/PROTOCOL.md`.
 */

const VERSION = 1;
/** @type {Record<number, string>} */
const TYPES = { 1: "image/webp" };
const MAX_CHUNKS = 64;
/** Unfinished pictures at a time; one for each track, and nobody shows more tracks than this. */
const MAX_OPEN = 32;
const FIXED_BYTES = 23;

/**
 * @typedef {object} Chunk
 * @property {string} track
 * @property {number} number of the picture
 * @property {number} index
 * @property {number} count
 * @property {number} takenMs the server's clock
 * @property {number} width
 * @property {number} height
 * @property {string} type
 * @property {Uint8Array} data
 */

/** @typedef {{ track: string, takenMs: number, width: number, height: number, file: Blob }} Still */

/**
 * Read one chunk; null if it is none, or of a version to come.
 * @param {Uint8Array} bytes
 * @returns {Chunk | null}
 */
export function readChunk(bytes) {
  if (bytes.byteLength <= FIXED_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const type = TYPES[view.getUint8(1)];
  const sidEnd = FIXED_BYTES + view.getUint8(22);
  const index = view.getUint16(10);
  const count = view.getUint16(12);
  if (view.getUint8(0) !== VERSION || !type || count > MAX_CHUNKS || index >= count || sidEnd >= bytes.byteLength) return null;
  return {
    track: new TextDecoder().decode(bytes.subarray(FIXED_BYTES, sidEnd)),
    number: view.getUint32(6), index, count, type,
    takenMs: Number(view.getBigUint64(14)), width: view.getUint16(2), height: view.getUint16(4),
    data: bytes.slice(sidEnd),
  };
}

export class StillAssembly {
  /** @param {(still: Still) => void} onStill */
  constructor(onStill) {
    this.onStill = onStill;
    /** The picture under way of each track. @type {Map<string, { number: number, count: number, parts: Uint8Array[] }>} */
    this.open = new Map();
  }

  /** @param {Uint8Array} bytes one packet */
  take(bytes) {
    const chunk = readChunk(bytes);
    if (!chunk) return;
    const { track, number, index, count } = chunk;
    const under = this.open.get(track);
    const isNext = under && under.number === number && under.count === count && under.parts.length === index;
    // Chunks come in order: anything else is the rest of a picture whose beginning was missed.
    if (!isNext && index > 0) return;
    const parts = isNext ? under.parts : [];
    parts.push(chunk.data);
    if (parts.length < count) {
      this.open.delete(track);
      this.open.set(track, { number, count, parts });
      // The oldest goes first: a map keeps the order of entry.
      if (this.open.size > MAX_OPEN) this.open.delete(/** @type {string} */ (this.open.keys().next().value));
      return;
    }
    this.open.delete(track);
    const file = new Blob(/** @type {BlobPart[]} */ (parts), { type: chunk.type });
    this.onStill({ track, takenMs: chunk.takenMs, width: chunk.width, height: chunk.height, file });
  }
}
