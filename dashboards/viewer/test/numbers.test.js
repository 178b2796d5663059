import assert from "node:assert/strict";
import { test } from "node:test";
import { squaredDistance } from "../src/distance.js";
import { boxOf, Recorder } from "../src/history.js";
import { between, gapsOf, interpolate } from "../src/interpolate.js";
import { angleDegrees, Counts, hd95Mm, lengthMm, millilitres } from "../src/measure.js";
import { RunMask } from "../src/runs.js";
import { readInto, SlabLoader, slabsOf } from "../src/slabs.js";
import { wholeBox } from "../src/volume.js";
import { axial, ball, counts, random } from "./phantoms.js";

test("distances are exact against a search through all voxels", () => {
  const shape = [7, 6, 5];
  const spacing = [0.8, 1.3, 2.9];
  const next = random(3);
  const marks = Array.from({ length: 210 }, () => next() < 0.03);
  const found = squaredDistance(shape, spacing, (n) => marks[n]);
  const place = (n) => [n % 7, Math.floor(n / 7) % 6, Math.floor(n / 42)];
  found.forEach((value, n) => {
    const best = Math.min(...marks.map((mark, m) => (mark ? place(n).reduce((sum, at, axis) => sum + ((at - place(m)[axis]) * spacing[axis]) ** 2, 0) : Infinity)));
    assert.ok(Math.abs(value - best) < 1e-9, `${n}: ${value} ${best}`);
  });
});

test("a ball cut out of slices is filled again", () => {
  const size = [33, 33, 21];
  const whole = ball(size, [16, 16, 10], 9, 1);
  const cut = whole.map((value, n) => ([2, 5, 8, 11, 14, 17].includes(Math.floor(n / 1089)) ? value : 0));
  const filled = interpolate(new Recorder(cut), { size, spacing: [1, 1, 1], plane: axial, label: 1, box: wholeBox(size), slice: 0, may: () => true });
  assert.equal(filled, 10);
  let both = 0;
  whole.forEach((value, n) => (both += value & cut[n]));
  const dice = (2 * both) / (counts(whole)[1] + counts(cut)[1]);
  assert.ok(dice > 0.94, `Dice ${dice}`);
});

test("only the gap around the slice is filled where there is one; all of them otherwise", () => {
  const filled = [false, true, false, true, true, false, false, true];
  assert.deepEqual(gapsOf(filled, 2), [[1, 3]]);
  assert.deepEqual(gapsOf(filled, 5), [[4, 7]]);
  assert.deepEqual(gapsOf(filled, 0), [[1, 3], [4, 7]]);
});

test("between equal shapes lies the shape; between shapes apart a shape half way", () => {
  const square = (at) => Uint8Array.from({ length: 400 }, (_, n) => (n % 20 >= at && n % 20 < at + 4 && n >= 160 && n < 240 ? 1 : 0));
  assert.deepEqual(between(square(3), square(3), [20, 20], [1, 1], [0.5])[0], square(3));
  assert.deepEqual(between(square(2), square(12), [20, 20], [1, 1], [0.5])[0], square(7));
  const full = new Uint8Array(400).fill(1);
  assert.deepEqual(between(full, full, [20, 20], [1, 1], [0.3])[0], full);
});

test("lengths and angles follow the affine", () => {
  const affine = [[0, -2, 0, 9], [0.5, 0, 0, 9], [0, 0, 3, 9], [0, 0, 0, 1]];
  assert.equal(lengthMm(affine, [0, 0, 0], [6, 2, 0]), 5);
  assert.ok(Math.abs(angleDegrees(affine, [6, 0, 0], [0, 0, 0], [0, 0, 1]) - 90) < 1e-9);
  assert.equal(millilitres(2000, [1, 0.5, 2]), 2);
});

test("counts and Dice stay right edit by edit", () => {
  const size = [12, 10, 8];
  const model = ball(size, [5, 5, 4], 3, 1);
  const mask = ball(size, [6, 5, 4], 3, 1);
  ball(size, [1, 1, 1], 1, 2, mask);
  const reference = RunMask.of(model, size);
  const live = new Counts(RunMask.of(mask, size), reference);
  const next = random(9);
  for (let n = 0; n < 12; n += 1) {
    const recorder = new Recorder(mask);
    for (let k = 0; k < 40; k += 1) recorder.set(Math.floor(next() * mask.length), n % 3);
    const seen = new Set();
    const change = recorder.finish("x");
    if (change === null) continue;
    change.starts.forEach((start) => seen.add(start));
    assert.equal(seen.size, change.starts.length);
    live.update(change, size, boxOf(change, size));
    const fresh = new Counts(RunMask.of(mask, size), reference);
    for (const label of [1, 2]) {
      assert.equal(live.voxels(label), fresh.voxels(label));
      assert.equal(live.dice(label), fresh.dice(label));
    }
  }
  const pairs = model.reduce((sum, value, n) => sum + (value === 1 && mask[n] === 1 ? 1 : 0), 0);
  assert.equal(live.dice(1), (2 * pairs) / (counts(model)[1] + counts(mask)[1]));
  assert.equal(new Counts(RunMask.of(mask, size), null).dice(1), null);
});

test("HD95 of known shapes", () => {
  const shape = [20, 20, 1];
  const box = (at) => Uint8Array.from({ length: 400 }, (_, n) => (n % 20 >= at && n % 20 < at + 5 && n >= 100 && n < 200 ? 1 : 0));
  assert.equal(hd95Mm(box(3), box(3), shape, [1, 1, 1]), 0);
  assert.equal(hd95Mm(box(3), box(5), shape, [0.5, 1, 1]), 1);
  assert.equal(hd95Mm(box(3), new Uint8Array(400), shape, [1, 1, 1]), null);
});

test("slabs come from the middle outwards, then where the reader looks", async () => {
  assert.deepEqual(slabsOf(10, 4).map((slab) => [slab.first, slab.end]), [[0, 4], [4, 8], [8, 10]]);
  const asked = [];
  let slice = 30;
  const loader = new SlabLoader({
    nz: 60, thickness: 10, order: [3, 2, 4, 1, 5, 0], parallel: 1, sliceNow: () => slice, arrived: () => {},
    fetchSlab: async (slab) => {
      asked.push(slab.n);
      if (asked.length === 2) slice = 0;
    },
  });
  await loader.run();
  assert.deepEqual(asked, [3, 2, 0, 1, 4, 5]);
  assert.ok(loader.loaded.every((flag) => flag === 1));
});

test("a body is read into its place; a short or long one is told", async () => {
  const bytes = new Uint8Array(5);
  await readInto(new Response(Uint8Array.of(1, 2, 3, 4, 5)), bytes);
  assert.deepEqual(bytes, Uint8Array.of(1, 2, 3, 4, 5));
  await assert.rejects(readInto(new Response(Uint8Array.of(1)), bytes), /sent 1 bytes; 5/);
  await assert.rejects(readInto(new Response(new Uint8Array(9)), bytes), /more than the 5/);
});
