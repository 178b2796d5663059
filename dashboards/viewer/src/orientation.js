// Which way the voxel axes point in the patient, and how a plane of voxels lies on the screen.
// Voxels are shown in the file's own order: a plane is a choice of two axes and two flips, never a resampling.

const LETTERS = [["L", "R"], ["P", "A"], ["I", "S"]]; // negative and positive end of the RAS+ axes
const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
const OBLIQUE = Math.cos((3 * Math.PI) / 180);

/** The patient axis and direction of each voxel axis of a 4x4 affine to RAS+ mm. */
export function axisCodes(affine) {
  const cosines = [0, 1, 2].map((axis) => {
    const column = [0, 1, 2].map((row) => affine[row][axis]);
    const length = Math.hypot(...column) || 1;
    return column.map((value) => value / length);
  });
  const fit = (order) => order.reduce((sum, patient, axis) => sum + Math.abs(cosines[axis][patient]), 0);
  const best = ORDERS.reduce((a, b) => (fit(b) > fit(a) + 1e-9 ? b : a));
  const codes = best.map((patient, axis) => ({ patient, sign: cosines[axis][patient] < 0 ? -1 : 1 }));
  const oblique = best.some((patient, axis) => Math.abs(cosines[axis][patient]) < OBLIQUE);
  return { codes, oblique };
}

/** Size of a voxel along its three axes in mm. */
export function spacingOf(affine) {
  return [0, 1, 2].map((axis) => Math.hypot(affine[0][axis], affine[1][axis], affine[2][axis]));
}

/** Position of a voxel in RAS+ mm. */
export function toMillimetres(affine, voxel) {
  return [0, 1, 2].map((row) => affine[row][0] * voxel[0] + affine[row][1] * voxel[1] + affine[row][2] * voxel[2] + affine[row][3]);
}

/**
 * The planes of a case: normal axis n, screen axes u (to the right) and v (downwards), their flips and edge letters.
 * Radiological: the patient's left is on the right of the screen. A 2D picture has one plane, as it was taken.
 */
export function planesOf({ dims, affine, radiological = true }) {
  if (dims === 2) {
    return [{ name: "picture", title: "Picture", n: 2, u: 0, v: 1, flipU: false, flipV: false, letters: null }];
  }
  const { codes } = axisCodes(affine);
  const axisOf = (patient) => codes.findIndex((code) => code.patient === patient);
  const side = radiological ? -1 : 1; // sign of the patient's R axis towards the right of the screen
  return [
    ["axial", "Axial", 2, 0, side, 1, -1],
    ["sagittal", "Sagittal", 0, 1, -1, 2, -1],
    ["coronal", "Coronal", 1, 0, side, 2, -1],
  ].map(([name, title, normal, right, rightSign, down, downSign]) => {
    const u = axisOf(right);
    const v = axisOf(down);
    const end = (patient, sign) => LETTERS[patient][sign > 0 ? 1 : 0];
    return {
      name,
      title,
      n: axisOf(normal),
      u,
      v,
      flipU: codes[u].sign !== rightSign,
      flipV: codes[v].sign !== downSign,
      letters: {
        left: end(right, -rightSign),
        right: end(right, rightSign),
        top: end(down, -downSign),
        bottom: end(down, downSign),
      },
    };
  });
}
