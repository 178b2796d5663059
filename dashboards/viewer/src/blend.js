// What lies over the picture: labels as fills or outlines, differences between two masks, and the heat of uncertainty.

/** RGBA word of '#rrggbb' with an opacity 0..1. */
export function wordOf(colour, opacity) {
  const value = parseInt(colour.slice(1), 16);
  const alpha = Math.round(Math.min(1, Math.max(0, opacity)) * 255);
  return ((alpha << 24) | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

/** Fill RGBA words of a label plane through a table with one word a label. */
export function paintLabels(labels, table, words) {
  for (let n = 0; n < labels.length; n += 1) words[n] = table[labels[n]];
}

export const DIFFERENCE = { added: "#00d4a6", removed: "#ff5da2", changed: "#f5c400" };

/** Fill RGBA words where two label planes differ: added, removed or changed in `now` against `before`. */
export function paintDifference(now, before, opacity, words) {
  const added = wordOf(DIFFERENCE.added, opacity);
  const removed = wordOf(DIFFERENCE.removed, opacity);
  const changed = wordOf(DIFFERENCE.changed, opacity);
  for (let n = 0; n < now.length; n += 1) {
    const a = now[n];
    const b = before[n];
    words[n] = a === b ? 0 : b === 0 ? added : a === 0 ? removed : changed;
  }
}

/** Table of 256 RGBA words from clear over violet and orange to pale yellow (inferno-like, in steps of its anchors). */
export function heatTable(opacity) {
  const anchors = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
  const table = new Uint32Array(256);
  for (let n = 0; n < 256; n += 1) {
    const place = (n / 255) * (anchors.length - 1);
    const first = Math.min(anchors.length - 2, Math.floor(place));
    const part = place - first;
    const [r, g, b] = anchors[first].map((value, k) => Math.round(value + (anchors[first + 1][k] - value) * part));
    const alpha = Math.round(255 * opacity * Math.min(1, n / 96));
    table[n] = ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  return table;
}

/**
 * Edges between unlike labels as line pieces in pixel corners: Map label -> [x0, y0, x1, y1, ...].
 * Each label owns the edges of its own pixels; pieces in one line are joined.
 */
export function outlines(labels, columns, rows, shown) {
  const pieces = new Map();
  const add = (label, ...piece) => {
    if (!pieces.has(label)) pieces.set(label, []);
    pieces.get(label).push(...piece);
  };
  for (let row = 0; row < rows; row += 1) {
    for (const side of [-1, 1]) {
      let open = 0; // the label whose edge is being followed
      let from = 0;
      for (let column = 0; column <= columns; column += 1) {
        const n = row * columns + column;
        const other = row + side;
        let label = column < columns ? labels[n] : 0;
        if (label !== 0 && (!shown[label] || (other >= 0 && other < rows && labels[n + side * columns] === label))) label = 0;
        if (label !== open) {
          const edge = side < 0 ? row : row + 1;
          if (open !== 0) add(open, from, edge, column, edge);
          open = label;
          from = column;
        }
      }
    }
  }
  for (let column = 0; column < columns; column += 1) {
    for (const side of [-1, 1]) {
      let open = 0;
      let from = 0;
      for (let row = 0; row <= rows; row += 1) {
        const n = row * columns + column;
        const other = column + side;
        let label = row < rows ? labels[n] : 0;
        if (label !== 0 && (!shown[label] || (other >= 0 && other < columns && labels[n + side] === label))) label = 0;
        if (label !== open) {
          const edge = side < 0 ? column : column + 1;
          if (open !== 0) add(open, edge, from, edge, row);
          open = label;
          from = row;
        }
      }
    }
  }
  return pieces;
}
