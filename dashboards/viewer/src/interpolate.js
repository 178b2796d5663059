// Fill the slices between two outlined ones by their signed distances (shape-based interpolation:
// Raya & Udupa, IEEE Trans Med Imaging 9, 1990). Shapes that do not overlap are moved along the line of their centres.

import { squaredDistance } from "./distance.js";

/** Signed distance in mm of a shape with one pixel of outside around it. */
function signed([columns, rows], spacing, inside) {
  const padded = new Uint8Array((columns + 2) * (rows + 2));
  for (let v = 0; v < rows; v += 1) padded.set(inside.subarray(v * columns, (v + 1) * columns), 1 + (columns + 2) * (v + 1));
  const shape = [columns + 2, rows + 2, 1];
  const out = squaredDistance(shape, spacing, (n) => padded[n] === 1);
  const within = squaredDistance(shape, spacing, (n) => padded[n] === 0);
  return Float32Array.from(out, (value, n) => Math.sqrt(value) - Math.sqrt(within[n]));
}

function centre(shape, inside) {
  let [u, v, count] = [0, 0, 0];
  for (let n = 0; n < inside.length; n += 1) {
    if (inside[n] === 1) {
      u += n % shape[0];
      v += Math.floor(n / shape[0]);
      count += 1;
    }
  }
  return [u / count, v / count];
}

/** For each part 0..1 the pixels between two shapes (Uint8Arrays of columns x rows) of a spacing in mm. */
export function between(first, second, [columns, rows], spacing, parts) {
  const shape = [columns, rows, 1];
  const grid = [spacing[0], spacing[1], 1];
  const [a, b] = [signed(shape, grid, first), signed(shape, grid, second)];
  const apart = !first.some((value, n) => value === 1 && second[n] === 1);
  const [from, to] = apart ? [centre(shape, first), centre(shape, second)] : [[0, 0], [0, 0]];
  const at = (values, u, v) =>
    values[Math.min(columns, Math.max(-1, Math.round(u))) + 1 + (columns + 2) * (Math.min(rows, Math.max(-1, Math.round(v))) + 1)];
  return parts.map((part) => {
    const out = new Uint8Array(columns * rows);
    const move = [(to[0] - from[0]) * part, (to[1] - from[1]) * part];
    const rest = [move[0] - (to[0] - from[0]), move[1] - (to[1] - from[1])];
    for (let v = 0; v < rows; v += 1) {
      for (let u = 0; u < columns; u += 1) {
        const value = (1 - part) * at(a, u - move[0], v - move[1]) + part * at(b, u - rest[0], v - rest[1]);
        if (value < 0) out[u + columns * v] = 1;
      }
    }
    return out;
  });
}

/** The gaps [from, to] (outlined slices with empty ones between) of a list of flags; only the one around `slice` if there. */
export function gapsOf(filled, slice) {
  const gaps = [];
  let last = -1;
  filled.forEach((flag, n) => {
    if (!flag) return;
    if (last >= 0 && n - last > 1) gaps.push([last, n]);
    last = n;
  });
  const around = gaps.filter(([from, to]) => slice > from && slice < to);
  return around.length > 0 ? around : gaps;
}

/** Fill the gaps of a label along a plane's normal in a recorder; returns the number of slices filled. */
export function interpolate(recorder, { size, spacing, plane, label, box, slice, may }) {
  const { data } = recorder;
  const stride = [1, size[0], size[0] * size[1]];
  const { n, u, v } = plane;
  const columns = box.high[u] - box.low[u] + 1;
  const rows = box.high[v] - box.low[v] + 1;
  const indexAt = (k, i, j) => k * stride[n] + (box.low[u] + i) * stride[u] + (box.low[v] + j) * stride[v];
  const shapeOf = (k) => {
    const out = new Uint8Array(columns * rows);
    let any = false;
    for (let j = 0; j < rows; j += 1) {
      for (let i = 0; i < columns; i += 1) {
        if (data[indexAt(k, i, j)] === label) {
          out[i + columns * j] = 1;
          any = true;
        }
      }
    }
    return any ? out : null;
  };
  const shapes = Array.from({ length: size[n] }, (_, k) => (k < box.low[n] || k > box.high[n] ? null : shapeOf(k)));
  let count = 0;
  for (const [from, to] of gapsOf(shapes.map((each) => each !== null), slice)) {
    const slices = Array.from({ length: to - from - 1 }, (_, k) => from + 1 + k);
    const parts = slices.map((k) => (k - from) / (to - from));
    const filled = between(shapes[from], shapes[to], [columns, rows], [spacing[u], spacing[v]], parts);
    filled.forEach((shape, at) => {
      for (let m = 0; m < shape.length; m += 1) {
        const index = indexAt(slices[at], m % columns, Math.floor(m / columns));
        if (shape[m] === 1 && may(index)) recorder.set(index, label);
      }
      count += 1;
    });
  }
  return count;
}
