// A 3D view without a graphics card: the surface voxels of the shown labels, drawn as shaded points, nearest first.

import { Growing } from "./runs.js";

const AROUND = [];
for (let z = -1; z <= 1; z += 1) for (let y = -1; y <= 1; y += 1) for (let x = -1; x <= 1; x += 1) if (x !== 0 || y !== 0 || z !== 0) AROUND.push([x, y, z]);

/**
 * Surface points of the shown labels in a box: {count, at: Float32Array [R, A, S in mm from the box's middle, ...],
 * normals, labels, step}. A large box is walked in steps, so that at most `most` voxels are looked at.
 */
export function surfacePoints({ data, size, affine, shown, box, most = 24e6 }) {
  const shape = box.high.map((value, axis) => value - box.low[axis] + 1);
  const step = Math.max(1, Math.ceil(Math.cbrt((shape[0] * shape[1] * shape[2]) / most)));
  const [nx, ny, nz] = size;
  const solid = (x, y, z) => x >= 0 && y >= 0 && z >= 0 && x < nx && y < ny && z < nz && shown[data[x + nx * (y + ny * z)]] === 1;
  const middle = box.low.map((value, axis) => (value + box.high[axis]) / 2);
  const at = new Growing(3 << 12, Float32Array);
  const normals = new Growing(3 << 12, Float32Array);
  const labels = new Growing(1 << 12, Uint16Array);
  const turn = (v, out) => [0, 1, 2].forEach((row) => out.push(affine[row][0] * v[0] + affine[row][1] * v[1] + affine[row][2] * v[2]));
  for (let z = box.low[2]; z <= box.high[2]; z += step) {
    for (let y = box.low[1]; y <= box.high[1]; y += step) {
      for (let x = box.low[0]; x <= box.high[0]; x += step) {
        const label = data[x + nx * (y + ny * z)];
        if (label === 0 || shown[label] === 0) continue;
        const within =
          solid(x - step, y, z) && solid(x + step, y, z) && solid(x, y - step, z) && solid(x, y + step, z) && solid(x, y, z - step) && solid(x, y, z + step);
        if (within) continue;
        const normal = [0, 0, 0];
        for (const [i, j, k] of AROUND) {
          for (const far of [step, 2 * step]) {
            if (!solid(x + far * i, y + far * j, z + far * k)) [i, j, k].forEach((value, axis) => (normal[axis] += value / far));
          }
        }
        turn([x - middle[0], y - middle[1], z - middle[2]], at);
        turn(normal, normals);
        labels.push(label);
      }
    }
  }
  for (let n = 0; n < labels.length; n += 1) {
    const length = Math.hypot(...normals.data.subarray(3 * n, 3 * n + 3)) || 1;
    for (let k = 0; k < 3; k += 1) normals.data[3 * n + k] /= length;
  }
  return { count: labels.length, at: at.done(), normals: normals.done(), labels: labels.done(), step };
}

/** Rows (right, down, towards the eye) of a view turned by azimuth and height in radians; 0, 0 looks at the front. */
export function viewRows(azimuth, height) {
  const [c, s, a, b] = [Math.cos(azimuth), Math.sin(azimuth), Math.cos(height), Math.sin(height)];
  return [
    [-c, s, 0],
    [s * b, c * b, -a],
    [s * a, c * a, b],
  ];
}

/** Draw points into RGBA words; scale is pixels a mm, splat the edge of a point in pixels. */
export function drawPoints(points, { rows, width, height, scale, splat, colours, words, depths }) {
  words.fill(0xff0a0806);
  depths.fill(-Infinity);
  const [right, down, eye] = rows;
  const half = splat >> 1;
  for (let n = 0; n < points.count; n += 1) {
    const [x, y, z] = [points.at[3 * n], points.at[3 * n + 1], points.at[3 * n + 2]];
    const column = Math.round(width / 2 + scale * (right[0] * x + right[1] * y + right[2] * z)) - half;
    const row = Math.round(height / 2 + scale * (down[0] * x + down[1] * y + down[2] * z)) - half;
    if (column < 0 || row < 0 || column + splat > width || row + splat > height) continue;
    const depth = eye[0] * x + eye[1] * y + eye[2] * z;
    const lit = eye[0] * points.normals[3 * n] + eye[1] * points.normals[3 * n + 1] + eye[2] * points.normals[3 * n + 2];
    const light = 0.25 + 0.75 * Math.max(0, lit);
    const colour = colours[points.labels[n]];
    const word = (0xff000000 | (((colour >> 16) & 255) * light << 16) | (((colour >> 8) & 255) * light << 8) | ((colour & 255) * light)) >>> 0;
    for (let j = 0; j < splat; j += 1) {
      let place = (row + j) * width + column;
      for (let i = 0; i < splat; i += 1, place += 1) {
        if (depth > depths[place]) {
          depths[place] = depth;
          words[place] = word;
        }
      }
    }
  }
}
