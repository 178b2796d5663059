// The brush: every voxel within a radius in mm of the line between two voxels, so that quick strokes have no gaps.

/** Call visit(index) for the voxels of a swept disc (two axes) or sphere (three axes); from and to are voxels. */
export function sweep(size, spacing, axes, from, to, radius, visit) {
  const stride = [1, size[0], size[0] * size[1]];
  const reach = axes.map((axis) => Math.floor(radius / spacing[axis] + 1e-6));
  const low = axes.map((axis, n) => Math.max(0, Math.min(from[axis], to[axis]) - reach[n]));
  const high = axes.map((axis, n) => Math.min(size[axis] - 1, Math.max(from[axis], to[axis]) + reach[n]));
  const along = axes.map((axis) => (to[axis] - from[axis]) * spacing[axis]);
  const length2 = along.reduce((sum, value) => sum + value * value, 0);
  const limit = radius * radius * (1 + 1e-9);
  const flat = axes.length === 2;
  const fixed = flat ? [0, 1, 2].find((axis) => !axes.includes(axis)) : -1;
  const base = flat ? from[fixed] * stride[fixed] : 0;
  const [lowW, highW] = flat ? [0, 0] : [low[2], high[2]];
  for (let w = lowW; w <= highW; w += 1) {
    const dw = flat ? 0 : (w - from[axes[2]]) * spacing[axes[2]];
    for (let v = low[1]; v <= high[1]; v += 1) {
      const dv = (v - from[axes[1]]) * spacing[axes[1]];
      const row = base + v * stride[axes[1]] + (flat ? 0 : w * stride[axes[2]]);
      for (let u = low[0]; u <= high[0]; u += 1) {
        const du = (u - from[axes[0]]) * spacing[axes[0]];
        let part = length2 === 0 ? 0 : (du * along[0] + dv * along[1] + (flat ? 0 : dw * along[2])) / length2;
        part = part < 0 ? 0 : part > 1 ? 1 : part;
        const a = du - part * along[0];
        const b = dv - part * along[1];
        const c = flat ? 0 : dw - part * along[2];
        if (a * a + b * b + c * c <= limit) visit(row + u * stride[axes[0]]);
      }
    }
  }
}

/** The rule which voxels a tool may write: not locked ones, and only those whose picture value lies in the range. */
export function writable({ data, value, locked, range = null, valueAt = null }) {
  if (range === null) return (index) => data[index] !== value && locked[data[index]] === 0;
  const [low, high] = range;
  return (index) => {
    if (data[index] === value || locked[data[index]] !== 0) return false;
    const found = valueAt(index);
    return found >= low && found <= high;
  };
}

/** Paint a piece of a stroke into a recorder. */
export function paint(recorder, { size, spacing, axes, from, to, radius, value, may }) {
  sweep(size, spacing, axes, from, to, radius, (index) => {
    if (may(index)) recorder.set(index, value);
  });
}

/** The radius in mm of a brush that is `diameter` of the finest voxels of its axes wide. */
export function radiusOf(diameter, spacing, axes) {
  return (Math.max(1, diameter) / 2) * Math.min(...axes.map((axis) => spacing[axis]));
}
