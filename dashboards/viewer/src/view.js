// One plane on one canvas: picture, heat and labels lie in layers of one pixel a voxel and are put together scaled.

import { outlines, paintDifference, paintLabels } from "./blend.js";
import { h } from "./dom.js";
import { drawMarks, drawTexts } from "./marks.js";
import { extract, planeShape, toScreen, toVoxel } from "./volume.js";
import { paintColour, paintFloat, paintTable } from "./window.js";

function layer(columns, rows) {
  const canvas = h("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(columns, rows);
  return { canvas, context, image, words: new Uint32Array(image.data.buffer) };
}

export class PlaneView {
  /** source: whose labels are drawn, 'current', 'model' or 'previous'. */
  constructor(app, plane, source = "current") {
    Object.assign(this, { app, plane, source });
    this.canvas = h("canvas", { class: "mu-canvas", role: "img" });
    this.ring = h("div", { class: "mu-ring", hidden: true });
    this.element = h("div", { class: "mu-view", "data-plane": plane.name, "data-source": source }, this.canvas, this.ring);
    this.context = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    const [columns, rows] = planeShape(app.size, plane);
    Object.assign(this, { columns, rows });
    this.picture = layer(columns, rows);
    this.labels = layer(columns, rows);
    this.heat = null;
    this.stored = Array.from({ length: app.colour ? 3 : 1 }, () => new app.image.constructor(columns * rows));
    this.values = new app.mask.constructor(columns * rows);
    this.others = null;
    this.paths = [];
    this.dirty = { picture: true, window: true, labels: true, heat: true, marks: true };
    this.fit();
  }

  get slice() {
    return this.app.cursor[this.plane.n];
  }

  get note() {
    const { app } = this;
    if (app.layout !== "compare") return "";
    return { current: app.difference === null ? "mine" : `mine against ${app.difference.name}`, model: "model", previous: app.previousName }[this.source];
  }

  /** Take the size of the element; false where it is not to be seen. */
  fit() {
    const { clientWidth, clientHeight } = this.element;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (width < 2 || height < 2) return false;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.ratio = ratio;
    this.place();
    return true;
  }

  /** Where the picture lies on the canvas: x0, y0 and the size of a voxel in canvas pixels. */
  place() {
    const { app, plane, columns, rows, canvas } = this;
    const camera = app.cameraOf(plane);
    const [du, dv] = [app.spacing[plane.u], app.spacing[plane.v]];
    const scale = Math.min(canvas.width / (columns * du), canvas.height / (rows * dv)) * camera.zoom;
    const [width, height] = [columns * du * scale, rows * dv * scale];
    this.scale = scale; // canvas pixels a mm
    this.frame = {
      x: canvas.width / 2 - width * camera.u,
      y: canvas.height / 2 - height * camera.v,
      width,
      height,
      du: du * scale,
      dv: dv * scale,
    };
  }

  /** The voxel under a pointer event, which may lie outside. */
  voxelAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * (this.canvas.width / box.width);
    const y = (event.clientY - box.top) * (this.canvas.height / box.height);
    const column = Math.floor((x - this.frame.x) / this.frame.du);
    const row = Math.floor((y - this.frame.y) / this.frame.dv);
    return toVoxel(this.app.size, this.plane, this.slice, column, row);
  }

  /** Centre of a voxel in canvas pixels. */
  pointOf(voxel) {
    const [column, row] = toScreen(this.app.size, this.plane, voxel);
    return [this.frame.x + (column + 0.5) * this.frame.du, this.frame.y + (row + 0.5) * this.frame.dv];
  }

  touch(...names) {
    for (const name of names) this.dirty[name] = true;
  }

  /** Draw what is no longer true; true where anything was drawn. */
  draw() {
    const { dirty } = this;
    if (!Object.values(dirty).some(Boolean) || this.canvas.width < 2 || this.frame === undefined) return false;
    if (dirty.picture) this.#extract();
    if (dirty.picture || dirty.window) this.#paintPicture();
    if (dirty.labels) this.#paintLabels();
    if (dirty.heat) this.#paintHeat();
    this.#compose();
    for (const name of Object.keys(dirty)) dirty[name] = false;
    return true;
  }

  #extract() {
    const { app, plane } = this;
    const channel = app.size[0] * app.size[1] * app.size[2];
    this.stored.forEach((out, n) => extract(app.image, (app.colour ? n : app.channel) * channel, app.size, plane, this.slice, out));
  }

  #paintPicture() {
    const { app, picture } = this;
    if (app.colour) paintColour(this.stored, app.windowTable, picture.words);
    else if (app.info.dtype === "float32") paintFloat(this.stored[0], app.scaling(), picture.words);
    else paintTable(this.stored[0], app.windowTable, picture.words);
    picture.context.putImageData(picture.image, 0, 0);
  }

  #fill(runs, out) {
    if (runs === null) return out.fill(0);
    return runs.plane(this.plane, this.slice, out);
  }

  #paintLabels() {
    const { app, labels, columns, rows } = this;
    if (this.source === "current") extract(app.mask, 0, app.size, this.plane, this.slice, this.values);
    else this.#fill(app.runsOf(this.source), this.values);
    this.paths = [];
    if (app.difference !== null && this.source === "current") {
      this.others ??= new app.mask.constructor(columns * rows);
      this.#fill(app.difference.runs, this.others);
      paintDifference(this.values, this.others, Math.max(0.5, app.opacity), labels.words);
    } else {
      if (app.style === "outline") labels.words.fill(0);
      else paintLabels(this.values, app.labelTable, labels.words);
      if (app.style !== "fill") this.#trace();
    }
    labels.context.putImageData(labels.image, 0, 0);
  }

  #trace() {
    const { app } = this;
    const colours = new Map();
    for (const [label, pieces] of outlines(this.values, this.columns, this.rows, app.shownFlags)) {
      const colour = app.labels.colourOf(label);
      if (!colours.has(colour)) colours.set(colour, new Path2D());
      const path = colours.get(colour);
      for (let n = 0; n < pieces.length; n += 4) {
        path.moveTo(pieces[n], pieces[n + 1]);
        path.lineTo(pieces[n + 2], pieces[n + 3]);
      }
    }
    this.paths = [...colours];
  }

  #paintHeat() {
    const { app, columns, rows } = this;
    if (!app.heatShown || app.uncertainty === null) return;
    this.heat ??= layer(columns, rows);
    const values = extract(app.uncertainty, 0, app.size, this.plane, this.slice, new Uint8Array(columns * rows));
    paintLabels(values, app.heatTable, this.heat.words);
    this.heat.context.putImageData(this.heat.image, 0, 0);
  }

  #compose() {
    const { app, context, canvas, frame } = this;
    const { x, y, width, height } = frame;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const loaded = app.isLoaded(this.plane, this.slice);
    context.imageSmoothingEnabled = app.smooth && frame.du < 24 * this.ratio;
    if (loaded) context.drawImage(this.picture.canvas, x, y, width, height);
    if (app.heatShown && this.heat !== null) context.drawImage(this.heat.canvas, x, y, width, height);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.labels.canvas, x, y, width, height);
    const matrix = new DOMMatrix([frame.du, 0, 0, frame.dv, x, y]);
    context.lineWidth = Math.max(1.25, Math.min(2, frame.du)) * this.ratio;
    for (const [colour, path] of this.paths) {
      const scaled = new Path2D();
      scaled.addPath(path, matrix);
      context.strokeStyle = colour;
      context.stroke(scaled);
    }
    drawMarks(this);
    drawTexts(this, loaded);
  }

  /** Show the brush's size under the pointer; null hides it. */
  showRing(event, radius) {
    this.ring.hidden = event === null || radius === null;
    if (this.ring.hidden) return;
    const box = this.canvas.getBoundingClientRect();
    const size = Math.max(3, (2 * radius * this.scale) / this.ratio);
    this.ring.style.width = `${size}px`;
    this.ring.style.height = `${size}px`;
    this.ring.style.transform = `translate(${event.clientX - box.left - size / 2}px, ${event.clientY - box.top - size / 2}px)`;
  }
}
