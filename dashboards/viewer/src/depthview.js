// The 3D view: turned by dragging, made again a moment after an edit. It needs no WebGL.

import { drawPoints, surfacePoints, viewRows } from "./depth.js";
import { h } from "./dom.js";
import { union } from "./volume.js";

const PAUSE_MS = 400;
const MOST_PIXELS = 640;

export class DepthView {
  constructor(app) {
    this.app = app;
    this.canvas = h("canvas", { class: "mu-canvas", role: "img", "aria-label": "3D view of the shown labels" });
    this.note = h("p", { class: "mu-note" }, "3D");
    this.element = h("div", { class: "mu-view mu-depth" }, this.canvas, this.note);
    this.context = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.turn = { azimuth: 0.5, height: 0.25, zoom: 1 };
    this.on = false;
    this.points = null;
    this.canvas.addEventListener("pointerdown", (event) => this.#grab(event));
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.turn.zoom = Math.min(8, Math.max(0.4, this.turn.zoom * Math.exp(-event.deltaY / 600)));
      this.draw();
    }, { passive: false });
  }

  #grab(down) {
    down.stopPropagation();
    this.canvas.setPointerCapture(down.pointerId);
    const from = { ...this.turn, x: down.clientX, y: down.clientY };
    const move = (event) => {
      this.turn.azimuth = from.azimuth + (event.clientX - from.x) / 120;
      this.turn.height = Math.max(-1.5, Math.min(1.5, from.height + (event.clientY - from.y) / 120));
      this.draw();
    };
    const up = () => this.canvas.removeEventListener("pointermove", move);
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", up, { once: true });
    this.canvas.addEventListener("pointercancel", up, { once: true });
  }

  enable(on) {
    this.on = on;
    clearTimeout(this.timer);
    this.timer = undefined;
    if (on) this.stale();
  }

  /** The labels changed: look for their surface again when nothing else is going on. */
  stale() {
    if (!this.on) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#find(), PAUSE_MS);
  }

  #find() {
    const { app } = this;
    if (app.gone || !app.maskLoaded) return;
    if (app.editing.stroke !== null || app.input.drag !== null) return void this.stale();
    const boxes = [...app.counts.boxes].filter(([label]) => app.shownFlags[label] === 1 && app.counts.voxels(label) > 0).map(([, box]) => box);
    this.points = boxes.length === 0 ? null : surfacePoints({ data: app.mask, size: app.size, affine: app.affine, shown: app.shownFlags, box: boxes.reduce(union), most: app.layout === "depth" ? 24e6 : 6e6 });
    this.#describe();
    this.draw();
  }

  #describe() {
    this.note.textContent = this.points === null ? "3D: nothing is labelled" : this.points.step > 1 ? `3D, every ${this.points.step} voxels` : "3D";
  }

  resize() {
    const { clientWidth, clientHeight } = this.element;
    if (!this.on || clientWidth < 2) return;
    const part = Math.min(1, MOST_PIXELS / Math.max(clientWidth, clientHeight));
    this.canvas.width = Math.round(clientWidth * part);
    this.canvas.height = Math.round(clientHeight * part);
    this.image = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.words = new Uint32Array(this.image.data.buffer);
    this.depths = new Float32Array(this.words.length);
    this.draw();
  }

  draw() {
    if (!this.on || this.image === undefined || this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => {
      this.wanted = false;
      this.#paint();
    });
  }

  #paint() {
    const { app, points, words, depths } = this;
    const { width, height } = this.canvas;
    if (points === null) words.fill(0xff0a0806);
    else {
      let reach = 1;
      for (let n = 0; n < points.at.length; n += 3) reach = Math.max(reach, Math.hypot(points.at[n], points.at[n + 1], points.at[n + 2]));
      const scale = ((Math.min(width, height) * 0.46) / reach) * this.turn.zoom;
      const splat = Math.max(1, Math.ceil(scale * points.step * Math.max(...app.spacing) * 1.3));
      const colours = Uint32Array.from({ length: app.labels.values }, (_, label) => app.labelTable[label]);
      drawPoints(points, { rows: viewRows(this.turn.azimuth, this.turn.height), width, height, scale, splat: Math.min(24, splat), colours, words, depths });
    }
    this.context.putImageData(this.image, 0, 0);
  }
}
