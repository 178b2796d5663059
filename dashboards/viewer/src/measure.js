// Numbers: lengths, angles, volumes, and the agreement of two masks, kept up to date edit by edit.

import { squaredDistance } from "./distance.js";
import { toMillimetres } from "./orientation.js";

const minus = (a, b) => a.map((value, axis) => value - b[axis]);

/** Distance of two voxels in mm. */
export const lengthMm = (affine, a, b) => Math.hypot(...minus(toMillimetres(affine, a), toMillimetres(affine, b)));

/** Angle at the middle of three voxels in degrees. */
export function angleDegrees(affine, a, middle, b) {
  const [p, m, q] = [a, middle, b].map((voxel) => toMillimetres(affine, voxel));
  const [left, right] = [minus(p, m), minus(q, m)];
  const product = left.reduce((sum, value, axis) => sum + value * right[axis], 0);
  const cosine = product / (Math.hypot(...left) * Math.hypot(...right));
  return (Math.acos(Math.min(1, Math.max(-1, cosine))) * 180) / Math.PI;
}

/** Volume in ml (1,000 mm^3) of a number of voxels. */
export const millilitres = (voxels, spacing) => (voxels * spacing[0] * spacing[1] * spacing[2]) / 1000;

/** Counts per label of the mask, the reference and both, changed edit by edit: volume and Dice are always at hand. */
export class Counts {
  constructor(mask, reference) {
    this.reference = reference;
    this.mine = new Map();
    this.theirs = new Map();
    this.both = new Map();
    this.boxes = new Map();
    for (const [label, { count, box }] of mask.stats()) {
      this.mine.set(label, count);
      this.boxes.set(label, box);
    }
    if (reference === null) return;
    for (const [label, { count }] of reference.stats()) this.theirs.set(label, count);
    const rows = mask.rowStart.length - 1;
    for (let row = 0; row < rows; row += 1) this.#common(mask, row);
  }

  #common(mask, row) {
    const other = this.reference;
    let b = other.rowStart[row];
    for (let a = mask.rowStart[row]; a < mask.rowStart[row + 1]; a += 1) {
      while (b < other.rowStart[row + 1] && other.ends[b] <= mask.starts[a]) b += 1;
      for (let k = b; k < other.rowStart[row + 1] && other.starts[k] < mask.ends[a]; k += 1) {
        const shared = Math.min(mask.ends[a], other.ends[k]) - Math.max(mask.starts[a], other.starts[k]);
        if (mask.values[a] === other.values[k]) add(this.both, mask.values[a], shared);
      }
    }
  }

  /** Take a change into account; its box makes the boxes of the labels it wrote larger. */
  update(change, size, box) {
    const [nx] = size;
    for (let run = 0; run < change.starts.length; run += 1) {
      const [before, after, start, length] = [change.before[run], change.after[run], change.starts[run], change.lengths[run]];
      add(this.mine, before, -length);
      add(this.mine, after, length);
      if (after !== 0) this.#grow(after, box);
      if (this.reference === null) continue;
      for (let n = start; n < start + length; n += 1) {
        const row = Math.floor(n / nx);
        const model = this.reference.inRow(row, n - row * nx);
        if (model === before) add(this.both, before, -1);
        if (model === after) add(this.both, after, 1);
      }
    }
  }

  #grow(label, box) {
    const old = this.boxes.get(label);
    const low = old ? old.low.map((value, axis) => Math.min(value, box.low[axis])) : [...box.low];
    const high = old ? old.high.map((value, axis) => Math.max(value, box.high[axis])) : [...box.high];
    this.boxes.set(label, { low, high });
  }

  voxels(label) {
    return this.mine.get(label) ?? 0;
  }

  /** Dice to the reference, or null where neither has the label. */
  dice(label) {
    const sum = this.voxels(label) + (this.theirs.get(label) ?? 0);
    return this.reference === null || sum === 0 ? null : (2 * (this.both.get(label) ?? 0)) / sum;
  }
}

const add = (map, label, count) => label !== 0 && map.set(label, (map.get(label) ?? 0) + count);

/** Foreground voxels with a background neighbour across a face; the outside counts as background. */
function surface(data, shape) {
  const stride = [1, shape[0], shape[0] * shape[1]];
  const axes = [0, 1, 2].filter((axis) => shape[axis] > 1);
  const out = [];
  for (let n = 0; n < data.length; n += 1) {
    if (data[n] === 0) continue;
    const edge = axes.some((axis) => {
      const place = Math.floor(n / stride[axis]) % shape[axis];
      return place === 0 || place === shape[axis] - 1 || data[n - stride[axis]] === 0 || data[n + stride[axis]] === 0;
    });
    if (edge) out.push(n);
  }
  return out;
}

function percentile(values, part) {
  const sorted = Float64Array.from(values).sort();
  const place = part * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(sorted.length - 1, low + 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

/** 95th percentile of the surface distances in mm of two crops of one shape, the larger of both ways; null if one is empty. */
export function hd95Mm(a, b, shape, spacing) {
  const [first, second] = [surface(a, shape), surface(b, shape)];
  if (first.length === 0 || second.length === 0) return null;
  const way = (from, to) => {
    const marked = new Uint8Array(a.length);
    for (const n of to) marked[n] = 1;
    const squared = squaredDistance(shape, spacing, (n) => marked[n] === 1);
    return percentile(from.map((n) => Math.sqrt(squared[n])), 0.95);
  };
  return Math.max(way(first, second), way(second, first));
}
