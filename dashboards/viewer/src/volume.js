// Planes of volumes whose voxels lie x fastest: index = x + nx * (y + ny * z).

/** Number of voxels of a size [nx, ny, nz]. */
export const voxelsOf = (size) => size[0] * size[1] * size[2];

/** Linear index of a voxel. */
export const indexOf = (size, voxel) => voxel[0] + size[0] * (voxel[1] + size[1] * voxel[2]);

/** The voxel [x, y, z] of a linear index. */
export function voxelAt(size, index) {
  const row = Math.floor(index / size[0]);
  return [index - row * size[0], row % size[1], Math.floor(row / size[1])];
}

/** Whether a voxel lies inside. */
export const inside = (size, voxel) => voxel.every((value, axis) => value >= 0 && value < size[axis]);

/** Columns and rows of a plane on the screen. */
export const planeShape = (size, plane) => [size[plane.u], size[plane.v]];

/** Screen column and row (fractions allowed) of a voxel in a plane. */
export function toScreen(size, plane, voxel) {
  const column = plane.flipU ? size[plane.u] - 1 - voxel[plane.u] : voxel[plane.u];
  const row = plane.flipV ? size[plane.v] - 1 - voxel[plane.v] : voxel[plane.v];
  return [column, row];
}

/** The voxel under screen column and row of a plane's slice. */
export function toVoxel(size, plane, slice, column, row) {
  const voxel = [0, 0, 0];
  voxel[plane.n] = slice;
  voxel[plane.u] = plane.flipU ? size[plane.u] - 1 - column : column;
  voxel[plane.v] = plane.flipV ? size[plane.v] - 1 - row : row;
  return voxel;
}

/** First index and the two steps that walk a plane's slice in screen order. */
export function walkOf(size, plane, slice) {
  const stride = [1, size[0], size[0] * size[1]];
  const [columns, rows] = planeShape(size, plane);
  const stepU = plane.flipU ? -stride[plane.u] : stride[plane.u];
  const stepV = plane.flipV ? -stride[plane.v] : stride[plane.v];
  const start =
    slice * stride[plane.n] +
    (plane.flipU ? (columns - 1) * stride[plane.u] : 0) +
    (plane.flipV ? (rows - 1) * stride[plane.v] : 0);
  return { start, stepU, stepV, columns, rows };
}

/** Copy a slice of data into out, in screen order; offset is the first voxel of a channel. */
export function extract(data, offset, size, plane, slice, out) {
  const { start, stepU, stepV, columns, rows } = walkOf(size, plane, slice);
  let target = 0;
  for (let row = 0; row < rows; row += 1) {
    let source = offset + start + row * stepV;
    for (let column = 0; column < columns; column += 1) {
      out[target] = data[source];
      target += 1;
      source += stepU;
    }
  }
  return out;
}

/** An empty box that includes nothing. */
export const emptyBox = () => ({ low: [Infinity, Infinity, Infinity], high: [-1, -1, -1] });

/** Grow a box by a voxel. */
export function include(box, x, y, z) {
  const { low, high } = box;
  if (x < low[0]) low[0] = x;
  if (y < low[1]) low[1] = y;
  if (z < low[2]) low[2] = z;
  if (x > high[0]) high[0] = x;
  if (y > high[1]) high[1] = y;
  if (z > high[2]) high[2] = z;
}

/** The box around two boxes. */
export const union = (a, b) => ({
  low: a.low.map((value, axis) => Math.min(value, b.low[axis])),
  high: a.high.map((value, axis) => Math.max(value, b.high[axis])),
});

/** A box of the whole size, or one grown by a margin and cut to it. */
export const wholeBox = (size) => ({ low: [0, 0, 0], high: size.map((value) => value - 1) });
export const padded = (box, size, margin) => ({
  low: box.low.map((value) => Math.max(0, value - margin)),
  high: box.high.map((value, axis) => Math.min(size[axis] - 1, value + margin)),
});
