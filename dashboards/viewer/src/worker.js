// What takes long, away from the drawing: surface distances.

import { hd95Mm } from "./measure.js";

self.addEventListener("message", ({ data: { id, a, b, shape, spacing } }) => {
  self.postMessage({ id, value: hd95Mm(a, b, shape, spacing) });
});
