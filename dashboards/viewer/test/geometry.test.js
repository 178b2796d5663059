import assert from "node:assert/strict";
import { test } from "node:test";
import { axisCodes, planesOf, spacingOf, toMillimetres } from "../src/orientation.js";
import { extract, inside, planeShape, toScreen, toVoxel, voxelAt, indexOf } from "../src/volume.js";

const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
const SPACING = [0.7, 1.1, 2.5];

/** The 48 affines whose voxel axes lie along patient axes. */
function* affines() {
  for (const order of ORDERS) {
    for (let flips = 0; flips < 8; flips += 1) {
      const affine = [[0, 0, 0, 5], [0, 0, 0, -7], [0, 0, 0, 11], [0, 0, 0, 1]];
      order.forEach((patient, axis) => {
        affine[patient][axis] = (flips & (1 << axis) ? -1 : 1) * SPACING[axis];
      });
      yield affine;
    }
  }
}

test("in all 48 axis orders the screen runs the way the letters say", () => {
  let seen = 0;
  const ends = { L: [0, -1], R: [0, 1], P: [1, -1], A: [1, 1], I: [2, -1], S: [2, 1] };
  for (const affine of affines()) {
    for (const radiological of [true, false]) {
      for (const plane of planesOf({ dims: 3, affine, radiological })) {
        const size = [4, 5, 6];
        const [columns, rows] = planeShape(size, plane);
        const mm = (column, row) => toMillimetres(affine, toVoxel(size, plane, 2, column, row));
        const [patient, sign] = ends[plane.letters.right];
        assert.ok(sign * (mm(columns - 1, 0)[patient] - mm(0, 0)[patient]) > 0, `${plane.name} right`);
        const [down, downSign] = ends[plane.letters.bottom];
        assert.ok(downSign * (mm(0, rows - 1)[down] - mm(0, 0)[down]) > 0, `${plane.name} bottom`);
        seen += 1;
      }
    }
  }
  assert.equal(seen, 48 * 2 * 3);
});

test("radiological: left of the patient on the right; axial and coronal, front up, head up", () => {
  const [ax, sag, cor] = planesOf({ dims: 3, affine: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] });
  assert.deepEqual(ax.letters, { left: "R", right: "L", top: "A", bottom: "P" });
  assert.deepEqual(cor.letters, { left: "R", right: "L", top: "S", bottom: "I" });
  assert.deepEqual(sag.letters, { left: "A", right: "P", top: "S", bottom: "I" });
  const neuro = planesOf({ dims: 3, radiological: false, affine: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] });
  assert.equal(neuro[0].letters.right, "R");
  assert.equal(neuro[1].letters.right, "P");
});

test("screen and voxel are inverse, and extract shows the voxel that toVoxel names", () => {
  const size = [4, 5, 6];
  const data = Uint16Array.from({ length: 120 }, (_, n) => n);
  for (const affine of affines()) {
    for (const plane of planesOf({ dims: 3, affine })) {
      const [columns, rows] = planeShape(size, plane);
      const out = extract(data, 0, size, plane, 1, new Uint16Array(columns * rows));
      for (let row = 0; row < rows; row += 1) {
        for (let column = 0; column < columns; column += 1) {
          const voxel = toVoxel(size, plane, 1, column, row);
          assert.deepEqual(toScreen(size, plane, voxel), [column, row]);
          assert.equal(out[row * columns + column], indexOf(size, voxel));
          assert.deepEqual(voxelAt(size, indexOf(size, voxel)), voxel);
        }
      }
    }
  }
});

test("a picture is shown as it was taken, without letters", () => {
  const [plane] = planesOf({ dims: 2, affine: [[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] });
  assert.equal(plane.letters, null);
  assert.deepEqual(toVoxel([7, 5, 1], plane, 0, 3, 4), [3, 4, 0]);
});

test("an oblique affine is told, and its spacing is the length of its columns", () => {
  const turn = Math.PI / 9;
  const affine = [[Math.cos(turn), -2 * Math.sin(turn), 0, 0], [Math.sin(turn), 2 * Math.cos(turn), 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]];
  const { codes, oblique } = axisCodes(affine);
  assert.deepEqual(codes.map((each) => each.patient), [0, 1, 2]);
  assert.ok(oblique);
  assert.ok(!axisCodes([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).oblique);
  spacingOf(affine).forEach((value, axis) => assert.ok(Math.abs(value - [1, 2, 3][axis]) < 1e-12));
});

test("inside knows the borders", () => {
  assert.ok(inside([2, 2, 2], [1, 1, 1]));
  assert.ok(!inside([2, 2, 2], [2, 0, 0]));
  assert.ok(!inside([2, 2, 2], [0, -1, 0]));
});
