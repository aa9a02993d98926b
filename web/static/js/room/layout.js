/** Where tiles go. Pure arithmetic: a box and a count in, rectangles out. */

/**
 * @typedef {{ x: number, y: number, width: number, height: number }} Rect
 */

const GAP = 8;
const WIDEST = 16 / 9;
/** Faces survive a square; on wide screens a tile stays close to what cameras send. */
const NARROWEST_TALL_BOX = 1;
const NARROWEST_WIDE_BOX = 4 / 3;

/**
 * An even grid with the largest possible tiles; the last row is centred.
 * @param {number} count
 * @param {Rect} box
 * @returns {Rect[]}
 */
export function gridRects(count, box) {
  if (count < 1) return [];
  if (count === 1) return [box];
  const narrowest = box.width > box.height ? NARROWEST_WIDE_BOX : NARROWEST_TALL_BOX;
  let best = { columns: 1, width: 0, height: 0, area: -1 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const cellWidth = (box.width - GAP * (columns - 1)) / columns;
    const cellHeight = (box.height - GAP * (rows - 1)) / rows;
    if (cellWidth <= 0 || cellHeight <= 0) continue;
    const width = Math.min(cellWidth, cellHeight * WIDEST);
    const height = Math.min(cellHeight, width / narrowest);
    if (width * height > best.area) best = { columns, width, height, area: width * height };
  }
  const { columns, width, height } = best;
  const rows = Math.ceil(count / columns);
  const top = box.y + (box.height - rows * height - GAP * (rows - 1)) / 2;
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = row === rows - 1 ? count - columns * (rows - 1) : columns;
    const left = box.x + (box.width - inRow * width - GAP * (inRow - 1)) / 2;
    return { x: left + (index % columns) * (width + GAP), y: top + row * (height + GAP), width, height };
  });
}

/**
 * One large picture and a strip of small ones: beside it when the box is wide, below when it is tall.
 * @param {number} count small tiles wanted
 * @param {Rect} box
 * @returns {{ large: Rect, small: Rect[], fits: number }} `fits`: how many small tiles have a place
 */
export function spotlightRects(count, box) {
  if (!count) return { large: box, small: [], fits: 0 };
  if (box.width >= box.height) {
    const width = Math.min(260, Math.max(150, box.width * 0.18));
    const height = width / WIDEST;
    const fits = Math.max(1, Math.floor((box.height + GAP) / (height + GAP)));
    const shown = Math.min(count, fits);
    const top = box.y + (box.height - shown * height - GAP * (shown - 1)) / 2;
    const small = Array.from({ length: shown }, (_, i) => ({ x: box.x + box.width - width, y: top + i * (height + GAP), width, height }));
    return { large: { ...box, width: box.width - width - GAP }, small, fits };
  }
  const height = Math.min(120, Math.max(88, box.height * 0.16));
  const width = height;
  const fits = Math.max(1, Math.floor((box.width + GAP) / (width + GAP)));
  const shown = Math.min(count, fits);
  const left = box.x + (box.width - shown * width - GAP * (shown - 1)) / 2;
  const small = Array.from({ length: shown }, (_, i) => ({ x: left + i * (width + GAP), y: box.y + box.height - height, width, height }));
  return { large: { ...box, height: box.height - height - GAP }, small, fits };
}
