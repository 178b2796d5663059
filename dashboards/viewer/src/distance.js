// Exact Euclidean distance in mm to the nearest marked voxel, one axis after the other.
// Felzenszwalb & Huttenlocher, Distance transforms of sampled functions, Theory of Computing 8 (2012).

const FAR = 1e20;

function along(values, count, step, start, spacing, line, hull, bounds) {
  for (let n = 0; n < count; n += 1) line[n] = values[start + n * step];
  let k = 0;
  hull[0] = 0;
  bounds[0] = -Infinity;
  bounds[1] = Infinity;
  const square = spacing * spacing;
  for (let q = 1; q < count; q += 1) {
    let meet;
    for (;;) {
      const p = hull[k];
      meet = (line[q] - line[p] + square * (q * q - p * p)) / (2 * square * (q - p));
      if (meet > bounds[k] || k === 0) break;
      k -= 1;
    }
    if (meet <= bounds[k]) hull[k] = q;
    else {
      k += 1;
      hull[k] = q;
      bounds[k] = meet;
    }
    bounds[k + 1] = Infinity;
  }
  k = 0;
  for (let q = 0; q < count; q += 1) {
    while (bounds[k + 1] < q) k += 1;
    const d = (q - hull[k]) * spacing;
    values[start + q * step] = d * d + line[hull[k]];
  }
}

/** Squared distance in mm^2 of each voxel of a shape [a, b, c] (first fastest) to the nearest voxel with marked() true. */
export function squaredDistance(shape, spacing, marked) {
  const total = shape[0] * shape[1] * shape[2];
  const values = new Float64Array(total);
  for (let n = 0; n < total; n += 1) values[n] = marked(n) ? 0 : FAR;
  const stride = [1, shape[0], shape[0] * shape[1]];
  const most = Math.max(...shape);
  const line = new Float64Array(most);
  const hull = new Int32Array(most);
  const bounds = new Float64Array(most + 1);
  for (let axis = 0; axis < 3; axis += 1) {
    if (shape[axis] === 1) continue;
    const [first, second] = [0, 1, 2].filter((other) => other !== axis);
    for (let j = 0; j < shape[second]; j += 1) {
      for (let i = 0; i < shape[first]; i += 1) {
        along(values, shape[axis], stride[axis], i * stride[first] + j * stride[second], spacing[axis], line, hull, bounds);
      }
    }
  }
  return values;
}
