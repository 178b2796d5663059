// Connected regions: flood fill in a slice or the volume, holes, and the components of a label.

import { Growing } from "./runs.js";

/** Flood from a seed voxel over the voxels that hold `source` and pass may(); 4 or 6 neighbours; axes bound the spread. */
export function flood(recorder, { size, seed, axes, value, may, limit = Infinity }) {
  const { data } = recorder;
  const stride = [1, size[0], size[0] * size[1]];
  const start = seed[0] + stride[1] * seed[1] + stride[2] * seed[2];
  const source = data[start];
  if (source === value || !may(start)) return 0;
  const stack = new Growing(4096);
  const visit = (index) => {
    if (data[index] === source && may(index)) {
      recorder.set(index, value);
      stack.push(index);
    }
  };
  visit(start);
  while (stack.length > 0 && recorder.count < limit) {
    stack.length -= 1;
    const index = stack.data[stack.length];
    for (const axis of axes) {
      const place = Math.floor(index / stride[axis]) % size[axis];
      if (place > 0) visit(index - stride[axis]);
      if (place < size[axis] - 1) visit(index + stride[axis]);
    }
  }
  return recorder.count;
}

/** Fill what a label encloses: background of the box that cannot reach the box's border along `axes`. */
export function fillHoles(recorder, { size, label, box, axes, may }) {
  const { data } = recorder;
  const shape = box.high.map((value, axis) => value - box.low[axis] + 1);
  const stride = [1, shape[0], shape[0] * shape[1]];
  const total = shape[0] * shape[1] * shape[2];
  const indexAt = (n) => {
    const x = n % shape[0];
    const y = Math.floor(n / shape[0]) % shape[1];
    const z = Math.floor(n / stride[2]);
    return box.low[0] + x + size[0] * (box.low[1] + y + size[1] * (box.low[2] + z));
  };
  const reached = new Uint8Array(total); // 1: the label, or outside of it
  const stack = new Growing(4096);
  for (let n = 0; n < total; n += 1) {
    if (data[indexAt(n)] === label) reached[n] = 1;
    else {
      const edge = axes.some((axis) => {
        const place = Math.floor(n / stride[axis]) % shape[axis];
        return place === 0 || place === shape[axis] - 1;
      });
      if (edge) {
        reached[n] = 1;
        stack.push(n);
      }
    }
  }
  while (stack.length > 0) {
    stack.length -= 1;
    const n = stack.data[stack.length];
    for (const axis of axes) {
      const place = Math.floor(n / stride[axis]) % shape[axis];
      for (const [open, next] of [[place > 0, n - stride[axis]], [place < shape[axis] - 1, n + stride[axis]]]) {
        if (open && reached[next] === 0) {
          reached[next] = 1;
          stack.push(next);
        }
      }
    }
  }
  for (let n = 0; n < total; n += 1) {
    if (reached[n] === 0) {
      const index = indexAt(n);
      if (may(index)) recorder.set(index, label);
    }
  }
  return recorder.count;
}

/**
 * Components of a label among the rows of a box, 26 neighbours (8 in one slice), by union of runs.
 * Returns {runs: [{row, from, to, root}], sizes: Map root -> voxels, largest: root | -1}; rows are y + ny * z.
 */
export function components(data, size, label, box) {
  const [nx, ny] = size;
  const runs = [];
  const firstOf = new Map(); // row -> [first run, end]
  const parent = [];
  const find = (n) => {
    let root = n;
    while (parent[root] !== root) root = parent[root];
    while (parent[n] !== root) [parent[n], n] = [root, parent[n]];
    return root;
  };
  for (let z = box.low[2]; z <= box.high[2]; z += 1) {
    for (let y = box.low[1]; y <= box.high[1]; y += 1) {
      const row = y + ny * z;
      const first = runs.length;
      collect(data, row * nx, box, label, (from, to) => {
        parent.push(runs.length);
        runs.push({ row, from, to });
      });
      if (runs.length === first) continue;
      firstOf.set(row, [first, runs.length]);
      const neighbours = [y > 0 ? row - 1 : -1];
      if (z > 0) neighbours.push(row - ny, y > 0 ? row - ny - 1 : -1, y < ny - 1 ? row - ny + 1 : -1);
      for (const other of neighbours) if (firstOf.has(other)) join(runs, [first, runs.length], firstOf.get(other), parent, find);
    }
  }
  const sizes = new Map();
  let largest = -1;
  runs.forEach((run, n) => {
    run.root = find(n);
    sizes.set(run.root, (sizes.get(run.root) ?? 0) + run.to - run.from);
  });
  for (const [root, count] of sizes) if (largest === -1 || count > sizes.get(largest)) largest = root;
  return { runs, sizes, largest };
}

function collect(data, start, box, label, found) {
  let x = box.low[0];
  while (x <= box.high[0]) {
    if (data[start + x] !== label) x += 1;
    else {
      const from = x;
      while (x <= box.high[0] && data[start + x] === label) x += 1;
      found(from, x);
    }
  }
}

/** Join the runs of two rows that touch, corners included. */
function join(runs, [a, endA], [b, endB], parent, find) {
  while (a < endA && b < endB) {
    if (runs[a].from <= runs[b].to && runs[b].from <= runs[a].to) parent[find(a)] = find(b);
    if (runs[a].to < runs[b].to) a += 1;
    else b += 1;
  }
}

/** Clear all components of a label but the largest. */
export function keepLargest(recorder, { size, label, box }) {
  const { runs, largest } = components(recorder.data, size, label, box);
  for (const run of runs) {
    if (run.root === largest) continue;
    for (let x = run.from; x < run.to; x += 1) recorder.set(run.row * size[0] + x, 0);
  }
  return recorder.count;
}
