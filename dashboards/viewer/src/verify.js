// HD95 to the model and the number of parts of the active label, reckoned a moment after the last edit.

import { components } from "./regions.js";
import { union } from "./volume.js";

const PAUSE_MS = 700;
const MOST = 12e6; // voxels of a label's box up to which this is done while editing

export class Verify {
  constructor(app) {
    this.app = app;
    this.found = new Map();
    this.timer = null;
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#run(this.app.labels.active).catch(() => {}), PAUSE_MS);
  }

  async #run(label) {
    const { app } = this;
    if (app.gone || !app.maskLoaded || app.editing.stroke !== null) return;
    const mine = app.counts.voxels(label) > 0 ? app.counts.boxes.get(label) : null;
    const theirs = app.model?.stats().get(label)?.box ?? null;
    if (mine === null && theirs === null) return;
    const box = mine === null ? theirs : theirs === null ? mine : union(mine, theirs);
    const shape = box.high.map((value, axis) => value - box.low[axis] + 1);
    if (shape[0] * shape[1] * shape[2] > MOST) {
      this.found.set(label, { parts: null, hd95: undefined });
      return app.panel.refresh();
    }
    const parts = mine === null ? 0 : components(app.mask, app.size, label, mine).sizes.size;
    this.found.set(label, { parts, hd95: this.found.get(label)?.hd95 });
    app.panel.refresh();
    if (app.model === null) return undefined;
    const hd95 = await app.background.hd95({ a: this.#crop(label, box, shape), b: app.model.crop(label, box).data, shape, spacing: app.spacing });
    if (app.gone) return undefined;
    this.found.set(label, { parts, hd95 });
    return app.panel.refresh();
  }

  #crop(label, box, shape) {
    const { mask, size } = this.app;
    const out = new Uint8Array(shape[0] * shape[1] * shape[2]);
    let target = 0;
    for (let z = box.low[2]; z <= box.high[2]; z += 1) {
      for (let y = box.low[1]; y <= box.high[1]; y += 1) {
        let source = box.low[0] + size[0] * (y + size[1] * z);
        for (let x = 0; x < shape[0]; x += 1, source += 1, target += 1) out[target] = mask[source] === label ? 1 : 0;
      }
    }
    return out;
  }
}
