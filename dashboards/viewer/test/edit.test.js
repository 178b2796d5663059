import assert from "node:assert/strict";
import { test } from "node:test";
import { paint, radiusOf, sweep, writable } from "../src/brush.js";
import { decode, encode, gunzip, gzip } from "../src/codec.js";
import { apply, boxOf, fits, History, inverse, Recorder } from "../src/history.js";
import { compare, merge, replace } from "../src/merge.js";
import { components, fillHoles, flood, keepLargest } from "../src/regions.js";
import { RunMask } from "../src/runs.js";
import { extract, indexOf, wholeBox } from "../src/volume.js";
import { planesOf } from "../src/orientation.js";
import { ball, counts, empty, random } from "./phantoms.js";

const any = () => true;

function noisy(size, seed, labels = 3, Type = Uint8Array) {
  const next = random(seed);
  return Type.from({ length: size[0] * size[1] * size[2] }, () => (next() < 0.6 ? 0 : 1 + Math.floor(next() * labels)));
}

test("the swept disc holds just the voxels within the radius in mm", () => {
  const size = [21, 21, 3];
  const found = new Set();
  sweep(size, [1, 2, 5], [0, 1], [10, 10, 1], [10, 10, 1], 4, (index) => found.add(index));
  for (let z = 0; z < 3; z += 1)
    for (let y = 0; y < 21; y += 1)
      for (let x = 0; x < 21; x += 1) {
        const expected = z === 1 && Math.hypot(x - 10, 2 * (y - 10)) <= 4;
        assert.equal(found.has(indexOf(size, [x, y, z])), expected, `${x} ${y} ${z}`);
      }
});

test("a quick stroke has no gaps, and the ball reaches into other slices", () => {
  const size = [40, 40, 9];
  const data = empty(size);
  paint(new Recorder(data), { size, spacing: [1, 1, 1], axes: [0, 1], from: [3, 3, 4], to: [33, 17, 4], radius: 0.5, value: 1, may: any });
  for (let x = 3; x <= 33; x += 1) assert.ok([...Array(40).keys()].some((y) => data[indexOf(size, [x, y, 4])] === 1), `column ${x}`);
  const solid = empty(size);
  paint(new Recorder(solid), { size, spacing: [1, 1, 3], axes: [0, 1, 2], from: [20, 20, 4], to: [20, 20, 4], radius: 4, value: 2, may: any });
  assert.equal(solid[indexOf(size, [20, 20, 5])], 2);
  assert.equal(solid[indexOf(size, [20, 20, 6])], 0);
});

test("the smallest brush paints the one voxel under it", () => {
  const size = [9, 9, 9];
  const data = empty(size);
  const radius = radiusOf(1, [0.7, 0.7, 3], [0, 1]);
  paint(new Recorder(data), { size, spacing: [0.7, 0.7, 3], axes: [0, 1], from: [0, 8, 2], to: [0, 8, 2], radius, value: 1, may: any });
  assert.deepEqual(counts(data), { 1: 1 });
  assert.equal(data[indexOf(size, [0, 8, 2])], 1);
});

test("locked labels and values outside of the range are left alone", () => {
  const data = Uint8Array.of(0, 1, 2, 0);
  const locked = Uint8Array.of(0, 1, 0, 0);
  const free = writable({ data, value: 3, locked });
  assert.deepEqual([0, 1, 2, 3].map(free), [true, false, true, true]);
  const ranged = writable({ data, value: 3, locked, range: [10, 20], valueAt: (n) => [9, 15, 20, 21][n] });
  assert.deepEqual([0, 1, 2, 3].map(ranged), [false, false, true, false]);
});

test("undo gives back every voxel and redo every edit, over random strokes in all directions", () => {
  const size = [16, 12, 10];
  const data = noisy(size, 1);
  const states = [data.slice()];
  const history = new History();
  const next = random(2);
  const place = () => size.map((count) => Math.floor(next() * count));
  for (let n = 0; n < 20; n += 1) {
    const recorder = new Recorder(data);
    const axes = [[0, 1], [1, 2], [0, 2], [0, 1, 2]][n % 4];
    const from = place();
    let at = from;
    for (let k = 0; k < 3; k += 1) {
      const to = place();
      if (axes.length === 2) [0, 1, 2].filter((axis) => !axes.includes(axis)).forEach((axis) => (to[axis] = from[axis]));
      paint(recorder, { size, spacing: [1, 1.5, 2], axes, from: at, to, radius: 2.2, value: n % 4, may: writable({ data, value: n % 4, locked: new Uint8Array(8) }) });
      at = to;
    }
    const change = recorder.finish("brush");
    if (change === null) continue;
    history.push(change);
    states.push(data.slice());
  }
  assert.ok(states.length > 15);
  for (let n = states.length - 2; n >= 0; n -= 1) {
    history.undo(data);
    assert.deepEqual(data, states[n]);
  }
  assert.equal(history.undo(data), null);
  for (let n = 1; n < states.length; n += 1) {
    history.redo(data);
    assert.deepEqual(data, states[n]);
  }
  assert.equal(history.redo(data), null);
});

test("the history forgets its oldest steps first and never the last", () => {
  const history = new History(200);
  for (let n = 0; n < 5; n += 1) {
    const recorder = new Recorder(Uint8Array.of(0, 0, 0));
    recorder.set(n % 3, 1);
    history.push(recorder.finish("brush"));
  }
  assert.equal(history.done.length, 2);
});

test("a change fits only where its voxels are as it left them, and knows its box", () => {
  const size = [4, 3, 2];
  const data = empty(size);
  const recorder = new Recorder(data);
  [[3, 2, 0], [1, 0, 1]].forEach((voxel) => recorder.set(indexOf(size, voxel), 5));
  const change = recorder.finish("x");
  assert.deepEqual(boxOf(change, size), { low: [1, 0, 0], high: [3, 2, 1] });
  assert.ok(fits(data, inverse(change)) && !fits(data, change));
  apply(data, inverse(change));
  assert.ok(fits(data, change));
});

test("strokes survive the journal's bytes; cut and foreign ones are refused", async () => {
  const size = [64, 64, 8];
  const data = noisy(size, 4, 900, Uint16Array);
  const before = data.slice();
  const recorder = new Recorder(data);
  paint(recorder, { size, spacing: [1, 1, 1], axes: [0, 1, 2], from: [9, 9, 3], to: [50, 40, 4], radius: 5, value: 40000, may: any });
  const change = recorder.finish("brush");
  const bytes = encode(change, 300);
  const again = decode(await gunzip(await (await gzip(bytes)).arrayBuffer()), data.length);
  assert.deepEqual(again, { ...change, seq: 300 });
  apply(before, again);
  assert.deepEqual(before, data);
  assert.throws(() => decode(bytes.subarray(0, bytes.length - 1)), /cut off/);
  assert.throws(() => decode(bytes, 100), /reaches voxel/);
  assert.throws(() => decode(Uint8Array.of(1, 2, 3, 4)), /no stroke/);
});

test("runs hold the mask: every voxel, plane and count", () => {
  const size = [7, 6, 5];
  const data = noisy(size, 5);
  const runs = RunMask.of(data, size);
  for (let z = 0; z < 5; z += 1) for (let y = 0; y < 6; y += 1) for (let x = 0; x < 7; x += 1) assert.equal(runs.at(x, y, z), data[indexOf(size, [x, y, z])]);
  const affine = [[0, -1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]];
  for (const plane of planesOf({ dims: 3, affine })) {
    const count = size[plane.u] * size[plane.v];
    assert.deepEqual(runs.plane(plane, 2, new Uint8Array(count)), extract(data, 0, size, plane, 2, new Uint8Array(count)));
  }
  const stats = runs.stats();
  for (const [label, count] of Object.entries(counts(data))) assert.equal(stats.get(Number(label)).count, count);
  const { data: crop } = runs.crop(2, wholeBox(size));
  assert.deepEqual(crop, data.map((value) => (value === 2 ? 1 : 0)));
});

test("flood fill stays in its region, its slice and its range", () => {
  const size = [11, 11, 5];
  const data = ball(size, [5, 5, 2], 4, 1);
  const slice = data.slice();
  flood(new Recorder(slice), { size, seed: [5, 5, 2], axes: [0, 1], value: 2, may: any });
  slice.forEach((value, n) => assert.equal(value, data[n] === 1 && Math.floor(n / 121) === 2 ? 2 : data[n]));
  const whole = data.slice();
  flood(new Recorder(whole), { size, seed: [5, 5, 2], axes: [0, 1, 2], value: 2, may: any });
  assert.deepEqual(whole, data.map((value) => (value === 1 ? 2 : 0)));
  const ranged = data.slice();
  flood(new Recorder(ranged), { size, seed: [5, 5, 2], axes: [0, 1, 2], value: 2, may: (n) => n % 11 <= 5 });
  ranged.forEach((value, n) => assert.equal(value, data[n] === 1 && n % 11 <= 5 ? 2 : data[n]));
});

test("holes: closed ones are filled, open ones not; in a slice or in the volume", () => {
  const size = [13, 13, 13];
  const shell = ball(size, [6, 6, 6], 5, 1);
  ball(size, [6, 6, 6], 2, 0, shell);
  const filled = shell.slice();
  fillHoles(new Recorder(filled), { size, label: 1, box: wholeBox(size), axes: [0, 1, 2], may: any });
  assert.deepEqual(filled, ball(size, [6, 6, 6], 5, 1));
  const open = shell.slice();
  for (let z = 6; z < 13; z += 1) open[indexOf(size, [6, 6, z])] = 0;
  assert.equal(fillHoles(new Recorder(open), { size, label: 1, box: wholeBox(size), axes: [0, 1, 2], may: any }), 0);
  assert.ok(fillHoles(new Recorder(open), { size, label: 1, box: wholeBox(size), axes: [0, 1], may: any }) > 0);
});

test("components count corners as touching; the largest is kept", () => {
  const size = [12, 12, 12];
  const data = ball(size, [3, 3, 3], 2, 1);
  const expected = data.slice();
  data[indexOf(size, [9, 9, 9])] = 1;
  data[indexOf(size, [10, 10, 10])] = 1;
  data[indexOf(size, [9, 3, 9])] = 2;
  const { sizes } = components(data, size, 1, wholeBox(size));
  assert.deepEqual([...sizes.values()].sort((a, b) => a - b), [2, counts(expected)[1]]);
  keepLargest(new Recorder(data), { size, label: 1, box: wholeBox(size) });
  expected[indexOf(size, [9, 3, 9])] = 2;
  assert.deepEqual(data, expected);
});

test("components agree with a plain search on noise", () => {
  const size = [9, 8, 7];
  const data = noisy(size, 11, 2);
  const seen = new Uint8Array(data.length);
  const expected = [];
  data.forEach((value, start) => {
    if (value !== 1 || seen[start]) return;
    const stack = [start];
    seen[start] = 1;
    let count = 0;
    while (stack.length > 0) {
      const n = stack.pop();
      count += 1;
      const [x, y, z] = [n % 9, Math.floor(n / 9) % 8, Math.floor(n / 72)];
      for (let c = -1; c <= 1; c += 1) for (let b = -1; b <= 1; b += 1) for (let a = -1; a <= 1; a += 1) {
        const [i, j, k] = [x + a, y + b, z + c];
        if (i < 0 || j < 0 || k < 0 || i >= 9 || j >= 8 || k >= 7) continue;
        const m = i + 9 * (j + 8 * k);
        if (data[m] === 1 && !seen[m]) {
          seen[m] = 1;
          stack.push(m);
        }
      }
    }
    expected.push(count);
  });
  const sorted = (list) => [...list].sort((a, b) => a - b);
  assert.deepEqual(sorted(components(data, size, 1, wholeBox(size)).sizes.values()), sorted(expected));
});

test("a merge takes both edits; only voxels that both changed unlike are collisions", () => {
  const size = [8, 1, 1];
  const base = RunMask.of(Uint8Array.of(0, 0, 1, 1, 1, 0, 2, 2), size);
  const mine = Uint8Array.of(0, 3, 0, 1, 2, 4, 2, 0);
  const theirs = Uint8Array.of(5, 0, 1, 0, 3, 4, 1, 2);
  assert.deepEqual(compare(base, mine, theirs), { mine: 3, theirs: 3, collisions: 1 });
  const kept = mine.slice();
  merge(new Recorder(kept), base, theirs, "mine");
  assert.deepEqual(kept, Uint8Array.of(5, 3, 0, 0, 2, 4, 1, 0));
  const given = mine.slice();
  merge(new Recorder(given), base, theirs, "theirs");
  assert.deepEqual(given, Uint8Array.of(5, 3, 0, 0, 3, 4, 1, 0));
  replace(new Recorder(given), theirs);
  assert.deepEqual(given, theirs);
});
