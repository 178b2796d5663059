import assert from "node:assert/strict";
import { test } from "node:test";
import { DIFFERENCE, heatTable, outlines, paintDifference, paintLabels, wordOf } from "../src/blend.js";
import { COMMANDS, commandOf, hintOf, nameOf } from "../src/keys.js";
import { Labels } from "../src/labels.js";
import { dragged, levelOf, paintColour, paintFloat, paintTable, windowTable } from "../src/window.js";

const grey = (word) => word & 0xff;

test("the table says what levelOf says, for every stored value, with slope and intercept", () => {
  for (const dtype of ["int16", "uint16", "uint8"]) {
    const [low, high] = [-160.5, 240];
    const table = windowTable(new Uint32Array(65536), { dtype, slope: 0.5, intercept: -100, low, high });
    for (const stored of dtype === "int16" ? [-32768, -1, 0, 17, 500, 32767] : [0, 1, 200, 255]) {
      assert.equal(grey(table[stored & 0xffff]), levelOf(0.5 * stored - 100, low, high), `${dtype} ${stored}`);
      assert.equal(table[stored & 0xffff] >>> 24, 255);
    }
  }
});

test("negative stored values are found in the table", () => {
  const table = windowTable(new Uint32Array(65536), { dtype: "int16", low: -1000, high: 1000 });
  const words = new Uint32Array(3);
  paintTable(Int16Array.of(-1000, 0, 1000), table, words);
  assert.deepEqual(Array.from(words, grey), [0, 128, 255]);
});

test("a window the wrong way round inverts; one of no width is a threshold", () => {
  assert.equal(levelOf(10, 0, 10), 255);
  assert.equal(levelOf(10, 10, 0), 0);
  assert.equal(levelOf(0, 10, 0), 255);
  assert.equal(levelOf(5, 5, 5), 0);
  assert.equal(levelOf(6, 5, 5), 255);
});

test("floats and colours go through the same window", () => {
  const words = new Uint32Array(2);
  paintFloat(Float32Array.of(0.25, 0.5), { slope: 2, intercept: 0, low: 0, high: 1 }, words);
  assert.deepEqual(Array.from(words, grey), [128, 255]);
  const table = windowTable(new Uint32Array(65536), { dtype: "uint8", low: 0, high: 255 });
  paintColour([Uint8Array.of(1, 9), Uint8Array.of(2, 8), Uint8Array.of(3, 7)], table, words);
  assert.deepEqual(Array.from(words), [0xff030201, 0xff070809]);
});

test("dragging across widens, dragging down raises the centre, an inverted window stays inverted", () => {
  assert.deepEqual(dragged([0, 100], 512, 0, 100), [-50, 150]);
  assert.deepEqual(dragged([0, 100], 0, 512, 100), [100, 200]);
  const [low, high] = dragged([100, 0], 0, 512, 100);
  assert.deepEqual([low, high], [200, 100]);
});

test("words are little-endian RGBA", () => {
  assert.equal(wordOf("#102030", 1), 0xff302010);
  assert.equal(wordOf("#102030", 0.5) >>> 24, 128);
});

test("labels, differences and heat", () => {
  const words = new Uint32Array(4);
  paintLabels(Uint8Array.of(0, 1, 2, 1), Uint32Array.of(0, 7, 9), words);
  assert.deepEqual(Array.from(words), [0, 7, 9, 7]);
  paintDifference(Uint8Array.of(1, 1, 0, 2), Uint8Array.of(1, 0, 1, 1), 1, words);
  const { added, removed, changed } = DIFFERENCE;
  assert.deepEqual(Array.from(words), [0, wordOf(added, 1), wordOf(removed, 1), wordOf(changed, 1)]);
  const heat = heatTable(1);
  assert.equal(heat[0] >>> 24, 0);
  assert.ok((heat[255] & 0xff) > 240);
});

test("outlines go round each label on its own pixels, joined, and skip hidden labels", () => {
  const labels = Uint8Array.of(0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 2, 0, 0, 0, 0, 0);
  const all = outlines(labels, 4, 4, Uint8Array.of(0, 1, 1));
  const perimeter = (list) => {
    let sum = 0;
    for (let n = 0; n < list.length; n += 4) sum += Math.abs(list[n + 2] - list[n]) + Math.abs(list[n + 3] - list[n + 1]);
    return sum;
  };
  assert.equal(perimeter(all.get(1)), 8);
  assert.equal(perimeter(all.get(2)), 4);
  assert.ok([0, 4].some((k) => all.get(1).slice(k, k + 4).join() === "1,1,3,1"), "the upper edge is one piece");
  assert.deepEqual([...outlines(labels, 4, 4, Uint8Array.of(0, 1, 0)).keys()], [1]);
});

test("a label at the border is closed there", () => {
  const found = outlines(Uint8Array.of(3), 1, 1, new Uint8Array(4).fill(1)).get(3);
  assert.equal(found.length, 16);
});

test("no key means two commands, every command is named by its keys", () => {
  const keys = COMMANDS.flatMap((command) => command.keys);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(new Set(COMMANDS.map((each) => each.id)).size, COMMANDS.length);
  assert.match(hintOf("undo"), /undo \(z\)/);
});

test("events find their command", () => {
  const event = (key, more = {}) => ({ key, shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more });
  assert.equal(commandOf(event("a")).id, "accept");
  assert.equal(commandOf(event("Z", { shiftKey: true })).id, "redo");
  assert.equal(commandOf(event("z", { metaKey: true })).id, "undo");
  assert.equal(commandOf(event("?", { shiftKey: true })).id, "help");
  assert.deepEqual(commandOf(event("3")), { id: "label", argument: 3 });
  assert.equal(commandOf(event("r", { ctrlKey: true })), null, "the browser's own keys stay its own");
  assert.equal(nameOf(event("ArrowUp", { shiftKey: true })), "Shift+ArrowUp");
});

test("labels: shown, solo, hidden, locked, colours", () => {
  const labels = new Labels([{ value: 1, name: "liver", colour: "#ff0000" }, { value: 5, name: "tumour", colour: "#00ff00" }], { instances: false, depth: 1 });
  assert.equal(labels.table(1)[5], 0xff00ff00);
  labels.entry(5).shown = false;
  assert.deepEqual([labels.table(1)[5], labels.shownFlags()[1], labels.shownFlags()[5]], [0, 1, 0]);
  labels.solo = true;
  labels.active = 5;
  assert.deepEqual([labels.shownFlags()[1], labels.shownFlags()[5]], [0, 1]);
  labels.hidden = true;
  assert.ok(labels.shownFlags().every((flag) => flag === 0));
  labels.entry(1).locked = true;
  assert.deepEqual(Array.from(labels.lockedFlags().slice(0, 6)), [0, 1, 0, 0, 0, 0]);
  assert.notEqual(new Labels([], { instances: true, depth: 2 }).colourOf(300), labels.colourOf(1));
});
