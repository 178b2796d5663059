import assert from "node:assert/strict";
import { test } from "node:test";
import { encode, gunzip } from "../src/codec.js";
import { drawPoints, surfacePoints, viewRows } from "../src/depth.js";
import { apply, Recorder } from "../src/history.js";
import { Journal, MemoryShelf } from "../src/journal.js";
import { barLength } from "../src/marks.js";
import { wholeBox } from "../src/volume.js";
import { ball } from "./phantoms.js";

function change(index, value, data = new Uint8Array(50)) {
  const recorder = new Recorder(data);
  recorder.set(index, value);
  return recorder.finish("brush");
}

const settled = async (journal) => {
  await journal.writing;
  while (journal.running !== null) await journal.running;
};

function journalOf(send, shelf = new MemoryShelf(), base = 3) {
  return new Journal({ shelf, prefix: "case/reader", base, send, pause: async () => {} });
}

test("every edit is sent once, in order, and lies in the browser", async () => {
  const sent = [];
  const journal = journalOf(async (base, seq, bytes) => sent.push([base, seq, bytes]));
  for (let n = 0; n < 4; n += 1) journal.add(change(n, 1));
  await settled(journal);
  assert.deepEqual(sent.map(([base, seq]) => [base, seq]), [[3, 0], [3, 1], [3, 2], [3, 3]]);
  assert.deepEqual(await gunzip(sent[2][2]), encode(change(2, 1), 2));
  assert.equal((await journal.shelf.entries("case/reader/3/")).length, 4);
});

test("a lost line keeps the edits and sends them when it is back", async () => {
  let down = 3;
  const sent = [];
  const states = [];
  const journal = journalOf(async (base, seq) => {
    if (down > 0) {
      down -= 1;
      throw new TypeError("Failed to fetch");
    }
    sent.push(seq);
  });
  journal.told = ({ waiting, failing }) => states.push([waiting, failing]);
  journal.add(change(1, 1));
  journal.add(change(2, 1));
  await settled(journal);
  assert.deepEqual(sent, [0, 1]);
  assert.ok(states.some(([waiting, failing]) => failing && waiting > 0));
  assert.deepEqual(states.at(-1), [0, false]);
});

test("a refused edit is not sent for ever, and stays in the browser", async () => {
  let tries = 0;
  const journal = journalOf(async () => {
    tries += 1;
    throw Object.assign(new Error("too large"), { status: 413 });
  });
  await journal.add(change(1, 1));
  await settled(journal);
  assert.equal(tries, 1);
  assert.equal((await journal.shelf.entries("case/reader/3/")).length, 1);
});

test("after a crash the edits of browser and server are put together, each once, in order", async () => {
  const shelf = new MemoryShelf();
  const data = new Uint8Array(50);
  const onServer = [];
  let line = true;
  const journal = journalOf(async (base, seq, bytes) => {
    if (!line) throw Object.assign(new Error("gone"), { status: 400 });
    onServer.push(bytes);
  }, shelf);
  for (const [index, value] of [[4, 1], [9, 2], [4, 3]]) {
    journal.add(change(index, value, data));
    await settled(journal);
    line = index !== 9;
  }
  await shelf.remove("case/reader/3/000000001"); // the browser lost one that the server has
  const again = journalOf(async () => {}, shelf);
  const found = await again.recover(onServer, 50);
  const copy = new Uint8Array(50);
  found.forEach((each) => apply(copy, each));
  assert.deepEqual(copy, data);
  assert.equal(again.seq, 3);
});

test("a save forgets what it holds and keeps what was drawn meanwhile", async () => {
  const sent = [];
  const journal = journalOf(async (base, seq) => sent.push(`${base}/${seq}`));
  journal.add(change(1, 1));
  await settled(journal);
  await journal.rebase(4, [change(7, 2)]);
  await settled(journal);
  assert.deepEqual(sent, ["3/0", "4/0"]);
  assert.deepEqual((await journal.shelf.entries("case/")).map(([key]) => key), ["case/reader/4/000000000"]);
});

test("a save that changed nothing keeps the version and what was drawn meanwhile", async () => {
  const sent = [];
  const journal = journalOf(async (base, seq) => sent.push(`${base}/${seq}`));
  journal.add(change(1, 1));
  await settled(journal);
  await journal.rebase(3, [change(7, 2)]);
  await settled(journal);
  assert.deepEqual(sent, ["3/0", "3/1"]);
  assert.deepEqual((await journal.shelf.entries("case/")).map(([key]) => key), ["case/reader/3/000000001"]);
});

test("what follows a damaged stroke is left out", async () => {
  const journal = journalOf(async () => {});
  await journal.add(change(1, 1));
  await journal.shelf.put("case/reader/3/000000001", Uint8Array.of(1, 2, 3));
  await journal.add(change(3, 1));
  await journal.shelf.put("case/reader/3/000000001", Uint8Array.of(1, 2, 3));
  const found = await journalOf(async () => {}, journal.shelf).recover([], 50);
  assert.equal(found.length, 1);
});

test("the views of the depth image are turned, not mirrored, and start at the front", () => {
  const product = (a, b) => a.reduce((sum, value, n) => sum + value * b[n], 0);
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  for (const [azimuth, height] of [[0, 0], [0.7, 0.3], [-2, 1.1]]) {
    const [right, down, eye] = viewRows(azimuth, height);
    for (const [a, b] of [[right, down], [down, eye], [eye, right]]) assert.ok(Math.abs(product(a, b)) < 1e-12);
    const up = down.map((value) => -value);
    cross(right, up).forEach((value, n) => assert.ok(Math.abs(value - eye[n]) < 1e-12));
  }
  const [right, , eye] = viewRows(0, 0);
  assert.deepEqual([right, eye].map((row) => row.map((value) => Math.round(value) + 0)), [[-1, 0, 0], [0, 1, 0]]);
});

test("the surface of a ball is its shell, its normals point outwards, and the nearer label is seen", () => {
  const size = [30, 30, 30];
  const data = ball(size, [15, 10, 15], 5, 1);
  ball(size, [15, 22, 15], 5, 2, data);
  const shown = Uint8Array.of(0, 1, 1);
  const identity = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
  const points = surfacePoints({ data, size, affine: identity, shown, box: wholeBox(size) });
  for (let n = 0; n < points.count; n += 1) {
    const centre = points.labels[n] === 1 ? [15, 10, 15] : [15, 22, 15];
    const away = [0, 1, 2].map((axis) => points.at[3 * n + axis] + 14.5 - centre[axis]);
    assert.ok(Math.hypot(...away) > 3.9);
    assert.ok(away.reduce((sum, value, axis) => sum + value * points.normals[3 * n + axis], 0) > 0);
  }
  const words = new Uint32Array(400);
  const depths = new Float32Array(400);
  const colours = Uint32Array.of(0, 0xff, 0xff00);
  const draw = (azimuth) => {
    drawPoints(points, { rows: viewRows(azimuth, 0), width: 20, height: 20, scale: 1, splat: 1, colours, words, depths });
    return words[10 * 20 + 10];
  };
  assert.ok((draw(0) & 0xff00) > 0 && (draw(0) & 0xff) === 0, "from the front label 2 covers label 1");
  assert.ok((draw(Math.PI) & 0xff) > 0 && (draw(Math.PI) & 0xff00) === 0, "from behind label 1 covers label 2");
});

test("the scale bar is round and fits", () => {
  assert.equal(barLength(400), 100);
  assert.equal(barLength(70), 10);
  assert.equal(barLength(0.3), 0.05);
});
