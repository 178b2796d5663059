// The tools: every edit goes through one recorder and one commit, so that undo, journal, numbers and drawing agree.

import { paint, radiusOf, writable } from "./brush.js";
import { boxOf, Recorder } from "./history.js";
import { interpolate } from "./interpolate.js";
import { fillHoles, flood, keepLargest } from "./regions.js";
import { inside, padded } from "./volume.js";

export const PAINTING = new Set(["brush", "eraser"]);
const LARGEST = 200; // voxels of diameter

export class Editing {
  constructor(app) {
    this.app = app;
    this.stroke = null;
    this.diameter = 9;
    this.ball = false;
    this.rangeOn = false;
    this.range = null;
  }

  axesOf(view) {
    return this.ball && this.app.size[2] > 1 ? [0, 1, 2] : [view.plane.u, view.plane.v];
  }

  radius(view) {
    return radiusOf(this.diameter, this.app.spacing, [view.plane.u, view.plane.v]);
  }

  resize(factor) {
    const step = factor > 0 ? Math.max(1, Math.round(this.diameter * 0.2)) : -Math.max(1, Math.round(this.diameter / 6));
    this.diameter = Math.min(LARGEST, Math.max(1, this.diameter + step));
  }

  #may(value) {
    const { app } = this;
    const range = this.rangeOn && value !== 0 ? this.range : null;
    return writable({ data: app.mask, value, locked: app.labels.lockedFlags(), range, valueAt: (index) => app.valueAt(index) });
  }

  /** Whether the mask may be changed now; says why not. */
  ready() {
    const { app } = this;
    if (!app.readOnly && !app.frozen && app.mask !== null && app.maskLoaded) return true;
    app.announce(app.frozen ? "Saving: one moment." : app.readOnly ? `Not editable: ${app.whyReadOnly}` : "The mask is still loading.");
    return false;
  }

  begin(view, voxel, erase) {
    if (!this.ready()) return false;
    const value = erase ? 0 : this.app.labels.active;
    this.stroke = { recorder: new Recorder(this.app.mask), value, may: this.#may(value), last: null, slice: view.slice, view, tool: erase ? "eraser" : "brush" };
    this.extend(view, voxel);
    return true;
  }

  extend(view, voxel) {
    const { stroke, app } = this;
    if (stroke === null) return;
    const jumped = stroke.last === null || stroke.slice !== view.slice; // scrolled while painting
    const from = jumped ? voxel : stroke.last;
    const axes = this.axesOf(view);
    const rest = { size: app.size, spacing: app.spacing, radius: this.radius(view), value: stroke.value, may: stroke.may };
    paint(stroke.recorder, { ...rest, axes, from, to: voxel });
    stroke.last = voxel;
    stroke.slice = view.slice;
    const reach = axes.map((axis) => [axis, Math.ceil(rest.radius / app.spacing[axis])]);
    const box = { low: from.map((value, axis) => Math.min(value, voxel[axis])), high: from.map((value, axis) => Math.max(value, voxel[axis])) };
    for (const [axis, far] of reach) {
      box.low[axis] -= far;
      box.high[axis] += far;
    }
    app.touchBox(box);
  }

  end() {
    const { stroke } = this;
    this.stroke = null;
    if (stroke !== null) this.commit(stroke.recorder.finish(stroke.tool));
  }

  /** Run one operation on a fresh recorder and commit it. */
  run(tool, operate) {
    if (!this.ready()) return 0;
    const recorder = new Recorder(this.app.mask);
    operate(recorder);
    const change = recorder.finish(tool);
    this.commit(change);
    this.app.announce(change === null ? `Nothing to do: ${tool}.` : `${tool}: ${change.voxels.toLocaleString("en")} voxels.`);
    return change === null ? 0 : change.voxels;
  }

  commit(change) {
    if (change === null) return;
    this.app.history.push(change);
    this.after(change);
  }

  /** What every change of the mask brings about. */
  after(change) {
    const { app } = this;
    const box = boxOf(change, app.size);
    app.counts.update(change, app.size, box);
    app.since?.push(change);
    app.dirtyMask = true;
    app.tools.add(change.tool);
    app.journal?.add(change);
    app.touchBox(box);
    app.noteEdit();
  }

  undo() {
    this.#step("undo", "Nothing to undo.");
  }

  redo() {
    this.#step("redo", "Nothing to redo.");
  }

  #step(way, nothing) {
    if (this.stroke !== null || !this.ready()) return;
    const change = this.app.history[way](this.app.mask);
    if (change === null) this.app.announce(nothing);
    else this.after(change);
  }

  bucket(view, voxel) {
    const { app } = this;
    if (!inside(app.size, voxel)) return;
    const value = app.labels.active;
    this.run("fill", (recorder) => flood(recorder, { size: app.size, seed: voxel, axes: this.axesOf(view), value, may: this.#may(value) }));
  }

  #box(label, margin) {
    const { app } = this;
    const box = app.counts.boxes.get(label);
    return box === undefined ? null : padded(box, app.size, margin);
  }

  #onLabel(tool, operate) {
    const label = this.app.labels.active;
    const box = this.#box(label, 1);
    if (box === null) this.app.announce(`${this.app.labels.nameOf(label)} is nowhere yet.`);
    else this.run(tool, (recorder) => operate(recorder, label, box));
  }

  holes(view, everywhere) {
    const { app } = this;
    this.#onLabel("fill holes", (recorder, label, box) => {
      const { n, u, v } = view.plane;
      const one = { low: [...box.low], high: [...box.high] };
      if (!everywhere) one.low[n] = one.high[n] = view.slice;
      const deep = everywhere && app.size[2] > 1;
      fillHoles(recorder, { size: app.size, label, box: one, axes: deep ? [0, 1, 2] : [u, v], may: this.#may(label) });
    });
  }

  largest() {
    const { app } = this;
    if (app.labels.lockedFlags()[app.labels.active] === 1) return app.announce("The label is locked.");
    return this.#onLabel("keep largest", (recorder, label, box) => keepLargest(recorder, { size: app.size, label, box }));
  }

  interpolate(view) {
    const { app } = this;
    const { size, spacing } = app;
    this.#onLabel("interpolate", (recorder, label, box) =>
      interpolate(recorder, { size, spacing, plane: view.plane, label, box, slice: view.slice, may: this.#may(label) }),
    );
  }

  pick(voxel) {
    const { app } = this;
    if (!inside(app.size, voxel)) return;
    const value = app.labelAt(voxel);
    if (value !== 0) app.choose(value);
  }

  /** A label number that no voxel has yet, for a new instance. */
  newInstance() {
    const { app } = this;
    const used = new Set([...app.counts.mine].filter(([, count]) => count > 0).map(([label]) => label));
    let value = Math.max(0, ...used) + 1;
    if (value >= app.labels.values) value = [...Array(app.labels.values).keys()].slice(1).find((each) => !used.has(each)) ?? 0;
    if (value === 0) app.announce(`All ${app.labels.values - 1} labels of this mask are used.`);
    else app.choose(value);
  }
}
