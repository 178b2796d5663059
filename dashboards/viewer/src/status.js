// The line at the bottom: place in mm, voxel, value and label under the cursor, progress, and what was last said.

import { h, say } from "./dom.js";
import { toMillimetres } from "./orientation.js";
import { indexOf, inside } from "./volume.js";

const ENDS = [["L", "R"], ["P", "A"], ["I", "S"]];

export class Status {
  constructor(app) {
    this.app = app;
    this.where = h("span", { class: "mu-where" });
    this.value = h("span", { class: "mu-value" });
    this.words = h("span", { class: "mu-words", role: "status", "aria-live": "polite" });
    this.bar = h("progress", { max: "1", value: 0, "aria-label": "Loading" });
    this.element = h("footer", { class: "mu-status" }, this.where, this.value, this.words, this.bar);
    this.wanted = null;
  }

  announce(text) {
    say(this.words, text);
  }

  progress(part) {
    this.bar.value = part;
    this.bar.hidden = part >= 1 && this.app.maskLoaded;
  }

  /** Tell of the voxel under a pointer, at most once a frame. */
  hover(view, event) {
    const first = this.wanted === null;
    this.wanted = () => this.place(view.voxelAt(event));
    if (!first) return;
    requestAnimationFrame(() => {
      this.wanted?.();
      this.wanted = null;
    });
  }

  place(voxel) {
    const { app } = this;
    if (app.image === null) return;
    if (!inside(app.size, voxel)) {
      say(this.where, "outside");
      return say(this.value, "");
    }
    const dims = app.info.dims;
    const mm = toMillimetres(app.affine, voxel).slice(0, dims);
    const patient = dims === 2 ? mm.map((value) => value.toFixed(1)).join(", ") : mm.map((value, axis) => `${ENDS[axis][value < 0 ? 0 : 1]} ${Math.abs(value).toFixed(1)}`).join("  ");
    say(this.where, `${patient} mm   ·   voxel ${voxel.slice(0, dims).join(", ")}`);
    const index = indexOf(app.size, voxel);
    const value = app.colour ? [0, 1, 2].map((n) => app.image[n * app.size[0] * app.size[1] * app.size[2] + index]).join(" ") : Number(app.valueAt(index).toPrecision(6));
    const unit = app.info.modality === "CT" ? " HU" : "";
    const label = app.maskLoaded ? app.labels.nameOf(app.mask[index]) : "…";
    const loaded = app.isLoaded({ n: 2 }, voxel[2]);
    return say(this.value, `${loaded ? `${value}${unit}` : "…"}   ·   ${label}`);
  }
}
