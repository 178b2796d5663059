// The viewer of one case: what is known and chosen, and which planes have to be drawn again.

import { Api } from "./api.js";
import { Background } from "./background.js";
import { heatTable } from "./blend.js";
import { commands } from "./commands.js";
import { Deciding } from "./deciding.js";
import { DepthView } from "./depthview.js";
import { Dialogs } from "./dialogs.js";
import { h } from "./dom.js";
import { Editing } from "./editing.js";
import { Frames } from "./frame.js";
import { History } from "./history.js";
import { Input } from "./input.js";
import { load } from "./loader.js";
import { millilitres } from "./measure.js";
import { axisCodes, planesOf } from "./orientation.js";
import { Panel } from "./panel.js";
import { Saving } from "./saving.js";
import { Status } from "./status.js";
import { Toolbar } from "./toolbar.js";
import { Verify } from "./verify.js";
import { PlaneView } from "./view.js";
import { indexOf, inside } from "./volume.js";
import { windowTable } from "./window.js";

const CAMERA = { zoom: 1, u: 0.5, v: 0.5 };

export class App {
  constructor({ parent, data, trigger, assets }) {
    Object.assign(this, { data, trigger, assets, began: performance.now() });
    this.can = new Set(data.can ?? []);
    this.api = new Api(data.api ?? "/api/v1", data.case);
    this.metrics = { opened_ms: performance.now(), first_picture_s: null, usable_s: null, save_s: [], decision_s: [] };
    Object.assign(this, { image: null, mask: null, uncertainty: null, maskLoaded: false, readOnly: true, whyReadOnly: "the case is still loading", frozen: false });
    Object.assign(this, { model: null, previous: null, previousRev: null, previousName: "", difference: null, dirtyMask: false, since: null, journal: null });
    Object.assign(this, { tool: "navigate", layout: "planes", style: "both", opacity: 0.35, smooth: true, crosshair: true, heatShown: false, heatOpacity: 0.6 });
    Object.assign(this, { radiological: true, channel: 0, measures: [], measuring: null, comments: [], tools: new Set(), cameras: new Map() });
    this.history = new History();
    this.editing = new Editing(this);
    this.frames = new Frames(() => this.#draw());
    this.views = [];
    this.windowTable = new Uint32Array(65536);
    this.root = h("section", { class: "mu", tabindex: "0", "aria-label": "Image viewer" });
    parent.append(this.root);
    this.status = new Status(this);
    this.dialogs = new Dialogs(this);
    this.deciding = new Deciding(this);
    this.saving = new Saving(this);
    this.commands = commands(this);
    this.ready = load(this).catch((error) => this.fail(error));
  }

  /** Called by the loader once the case is described: everything that depends on its shape. */
  describe(info) {
    this.info = info;
    this.size = [...info.shape, 1, 1].slice(0, 3);
    this.affine = info.affine;
    this.spacing = info.spacing_mm.length === 3 ? info.spacing_mm : [...info.spacing_mm, 1];
    this.oblique = info.dims === 3 && axisCodes(info.affine).oblique;
    this.planes = planesOf({ dims: info.dims, affine: info.affine, radiological: this.radiological });
    this.activePlane = this.planes[0].name;
    this.colour = info.dims === 2 && info.channels === 3;
    this.cursor = this.size.map((count) => Math.floor(count / 2));
    this.window = [...info.window.default];
    this.preset = 0;
    this.comments = info.comments ?? [];
    this.background = new Background(this.assets.worker);
    this.makeWindow();
  }

  /** Called by the loader once the arrays are there: build the page. */
  build() {
    this.toolbar = new Toolbar(this);
    this.panel = new Panel(this);
    this.verify = new Verify(this);
    this.depth = new DepthView(this);
    this.stage = h("div", { class: "mu-stage" });
    this.head = this.deciding.head();
    this.root.replaceChildren(this.head, this.toolbar.element, this.stage, this.panel.element, this.status.element, this.dialogs.element);
    this.input = new Input(this);
    this.refreshLabels(false);
    this.arrange("planes");
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.stage);
  }

  // ------------------------------------------------------------------------------- layout

  plane(name) {
    return this.planes.find((each) => each.name === name);
  }

  arrange(layout) {
    this.layout = layout;
    const plane = this.plane(this.activePlane);
    if (layout === "compare") this.views = ["model", "current", "previous"].filter((source) => this.runsOf(source) !== null || source === "current").map((source) => new PlaneView(this, plane, source));
    else if (layout === "single" || this.info.dims === 2) this.views = [new PlaneView(this, plane)];
    else this.views = this.planes.map((each) => new PlaneView(this, each));
    const shown = [...this.views.map((view) => view.element)];
    const deep = this.info.dims === 3 && (layout === "planes" || layout === "depth");
    if (layout === "depth") shown.splice(0, shown.length, this.depth.element);
    else if (deep) shown.push(this.depth.element);
    if (layout === "depth") this.views = [];
    this.stage.dataset.layout = this.info.dims === 2 && layout === "planes" ? "single" : layout;
    this.stage.dataset.count = String(shown.length);
    this.stage.replaceChildren(...shown);
    this.depth.enable(deep);
    this.resize();
    this.toolbar.refresh();
  }

  resize() {
    for (const view of this.views) if (view.fit()) view.touch("marks");
    this.depth.resize();
    this.frames.want();
  }

  cameraOf(plane) {
    if (!this.cameras.has(plane.name)) this.cameras.set(plane.name, { ...CAMERA });
    return this.cameras.get(plane.name);
  }

  setCamera(plane, camera) {
    this.cameras.set(plane.name, camera);
    for (const view of this.views) {
      if (view.plane.name === plane.name) {
        view.place();
        view.touch("marks");
      }
    }
    this.frames.want();
  }

  resetCameras() {
    for (const plane of this.planes) this.setCamera(plane, { ...CAMERA });
  }

  activeView() {
    return this.views.find((view) => view.plane.name === this.activePlane && view.source === "current") ?? this.views[0] ?? null;
  }

  setSides(radiological) {
    this.radiological = radiological;
    this.planes = planesOf({ dims: this.info.dims, affine: this.affine, radiological });
    this.arrange(this.layout);
  }

  // ------------------------------------------------------------------------------- looking

  isLoaded(plane, slice) {
    return plane.n !== 2 || this.loader === undefined || this.loader.loaded[slice] === 1;
  }

  /** Touch parts of all views and ask for a frame. */
  touch(...names) {
    for (const view of this.views) view.touch(...names);
    this.frames.want();
  }

  /** Touch the labels of the views whose slice a box crosses. */
  touchBox(box) {
    for (const view of this.views) {
      const { n } = view.plane;
      if (view.source === "current" && view.slice >= box.low[n] && view.slice <= box.high[n]) view.touch("labels");
    }
    this.depth.stale();
    this.frames.want();
  }

  moveTo(voxel) {
    const next = voxel.map((value, axis) => Math.min(this.size[axis] - 1, Math.max(0, Math.round(value))));
    for (const view of this.views) {
      view.touch(...(next[view.plane.n] === this.cursor[view.plane.n] ? ["marks"] : ["picture", "labels", "heat"]));
    }
    this.cursor = next;
    this.status.place(next);
    this.frames.want();
  }

  /** Go `steps` slices towards head, front or the patient's right in a plane. */
  scroll(plane, steps) {
    const voxel = [...this.cursor];
    const sign = this.info.dims === 2 ? 1 : axisCodes(this.affine).codes[plane.n].sign;
    voxel[plane.n] += sign * steps;
    this.moveTo(voxel);
  }

  scaling() {
    const { dtype, slope, intercept } = this.info;
    return { dtype, slope, intercept, low: this.window[0], high: this.window[1] };
  }

  makeWindow() {
    if (this.info.dtype !== "float32") windowTable(this.windowTable, this.scaling());
  }

  setWindow(low, high) {
    this.window = [low, high];
    this.makeWindow();
    this.touch("window");
    this.panel?.refreshWindow();
  }

  valueAt(index) {
    const channel = this.size[0] * this.size[1] * this.size[2] * this.channel;
    return this.info.slope * this.image[channel + index] + this.info.intercept;
  }

  /** The label of a voxel in the mask; 0 outside. */
  labelAt(voxel) {
    return inside(this.size, voxel) ? this.mask[indexOf(this.size, voxel)] : 0;
  }

  runsOf(source) {
    return source === "model" ? this.model : source === "previous" ? this.previous : null;
  }

  // ------------------------------------------------------------------------------- labels

  choose(value) {
    this.labels.active = value;
    this.announce(`Label ${this.labels.nameOf(value)}.`);
    if (this.labels.solo) this.refreshLabels();
    this.panel.refresh();
  }

  /** Make the colour tables anew after a label was shown, hidden, locked or coloured. */
  refreshLabels(redraw = true) {
    this.labelTable = this.labels.table(this.opacity);
    this.shownFlags = this.labels.shownFlags();
    this.heatTable = heatTable(this.heatOpacity);
    if (!redraw) return;
    this.panel.refresh();
    this.depth.stale();
    this.touch("labels", "heat");
  }

  setTool(tool) {
    this.tool = tool;
    this.measuring = null;
    this.root.dataset.tool = tool;
    this.toolbar.refresh();
    this.input.hideRing();
    this.touch("marks");
  }

  millilitres(label) {
    return millilitres(this.counts.voxels(label), this.spacing);
  }

  noteEdit() {
    this.panel.refreshSoon();
    this.saving.show();
    this.verify.soon();
  }

  // ------------------------------------------------------------------------------- telling

  announce(text) {
    this.status.announce(text);
  }

  fail(error) {
    if (this.gone) return;
    console.error(error);
    this.root.replaceChildren(h("div", { class: "mu-fail", role: "alert" }, h("h2", {}, "The case cannot be shown"), h("p", {}, error.message), h("p", {}, error.body?.do ?? "")));
  }

  #draw() {
    for (const view of this.views) view.draw();
    if (this.metrics.first_picture_s === null && this.loader?.loaded.some((flag) => flag === 1)) {
      this.metrics.first_picture_s = (performance.now() - this.began) / 1000;
      this.metrics.first_picture_page_s = performance.now() / 1000;
    }
  }

  destroy() {
    this.gone = true;
    this.observer?.disconnect();
    this.background?.stop();
    this.journal?.stop();
    this.saving.drop();
    this.deciding.stop();
    this.depth?.enable(false);
    this.root.remove();
    Object.assign(this, { image: null, mask: null, views: [] });
  }
}
