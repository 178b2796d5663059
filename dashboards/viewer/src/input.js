// Mouse, pen, wheel and keys, turned into commands and strokes.

import { PAINTING } from "./editing.js";
import { commandOf } from "./keys.js";
import { inside } from "./volume.js";
import { dragged } from "./window.js";

const NOTCH = 40; // pixels of a touchpad's wheel that make one slice

export class Input {
  constructor(app) {
    this.app = app;
    this.drag = null;
    this.hover = null;
    this.rest = 0;
    const { root, stage } = app;
    root.addEventListener("keydown", (event) => this.#key(event));
    root.addEventListener("keyup", (event) => event.stopPropagation());
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    stage.addEventListener("pointerup", (event) => this.#up(event));
    stage.addEventListener("pointercancel", (event) => this.#up(event));
    stage.addEventListener("pointerleave", () => this.#leave());
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    root.addEventListener("pointerenter", () => this.#focus());
    this.#focus();
  }

  /** Keys belong to the viewer unless somebody types elsewhere. */
  #focus() {
    const active = this.app.root.getRootNode().activeElement;
    if (!active || active === document.body) this.app.root.focus({ preventScroll: true });
  }

  #key(event) {
    const typing = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
    event.stopPropagation(); // Streamlit binds single letters on the document
    if (this.app.dialogs.key(event) || (typing && event.key !== "Escape" && event.target.type !== "range")) return;
    const onButton = event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ");
    const command = onButton ? null : commandOf(event);
    if (command === null || this.app.commands[command.id] === undefined) return;
    event.preventDefault();
    this.app.commands[command.id](command.argument);
    this.app.deciding.active();
  }

  #viewOf(event) {
    return this.app.views.find((view) => view.element.contains(event.target)) ?? null;
  }

  #down(event) {
    const { app } = this;
    const view = this.#viewOf(event);
    app.deciding.active();
    if (view === null || this.drag !== null) return;
    event.preventDefault();
    app.root.focus({ preventScroll: true });
    app.stage.setPointerCapture(event.pointerId);
    app.moved = true;
    if (app.activePlane !== view.plane.name) {
      app.activePlane = view.plane.name;
      app.toolbar.refresh();
    }
    this.drag = { view, x: event.clientX, y: event.clientY, kind: this.#kind(event) };
    this.#start(event);
  }

  #kind(event) {
    const { app } = this;
    if (event.button === 2) return "window";
    if (event.button === 1 || event.ctrlKey) return "pan";
    if (event.altKey) return "pick";
    return PAINTING.has(app.tool) ? "paint" : app.tool;
  }

  #start(event) {
    const { app, drag } = this;
    const voxel = drag.view.voxelAt(event);
    if (drag.kind === "paint") {
      const editable = drag.view.source === "current";
      if (!editable) app.announce("This side shows another version: edit in the middle.");
      if (!editable || !app.editing.begin(drag.view, voxel, app.tool === "eraser" || event.shiftKey)) drag.kind = "none";
      app.frames.want("brush", event);
    } else if (drag.kind === "pick") app.editing.pick(voxel);
    else if (drag.kind === "bucket") app.editing.bucket(drag.view, voxel);
    else if (drag.kind === "ruler" || drag.kind === "angle") this.#measure(drag, voxel);
    else if (drag.kind === "navigate") app.moveTo(voxel);
  }

  #measure(drag, voxel) {
    const { app } = this;
    const { view, kind } = drag;
    if (app.measuring === null || app.measuring.plane !== view.plane.name || app.measuring.slice !== view.slice) {
      app.measuring = { kind, plane: view.plane.name, slice: view.slice, points: [voxel] };
    }
    app.measuring.points.push(voxel);
    app.touch("marks");
  }

  #move(event) {
    const { app, drag } = this;
    const view = drag?.view ?? this.#viewOf(event);
    if (view === null) return;
    this.hover = { view, event };
    app.status.hover(view, event);
    this.ring(view, event);
    if (drag === null) return;
    if (drag.kind === "paint") {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length > 0 ? events : [event]) app.editing.extend(view, view.voxelAt(each));
      app.frames.want("brush", event);
    } else if (drag.kind === "navigate") app.moveTo(view.voxelAt(event));
    else if (drag.kind === "window") this.#window(event);
    else if (drag.kind === "pan") this.#pan(event);
    else if (app.measuring !== null) {
      app.measuring.points[app.measuring.points.length - 1] = view.voxelAt(event);
      app.touch("marks");
    }
  }

  #window(event) {
    const { app, drag } = this;
    const [low, high] = app.info.window.default;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    Object.assign(drag, { x: event.clientX, y: event.clientY });
    app.setWindow(...dragged(app.window, dx, dy, Math.abs(high - low) || 1));
    app.frames.want("window", event);
  }

  #pan(event) {
    const { app, drag } = this;
    const { view } = drag;
    const camera = app.cameraOf(view.plane);
    const moved = (now, before, length) => ((now - before) * view.ratio) / length;
    const u = camera.u - moved(event.clientX, drag.x, view.frame.width);
    const v = camera.v - moved(event.clientY, drag.y, view.frame.height);
    Object.assign(drag, { x: event.clientX, y: event.clientY });
    app.setCamera(view.plane, { ...camera, u, v });
  }

  #up(event) {
    const { app, drag } = this;
    if (drag === null) return;
    this.drag = null;
    app.stage.releasePointerCapture?.(event.pointerId);
    if (drag.kind === "paint") app.editing.end();
    const { measuring } = app;
    if (measuring === null || !["ruler", "angle"].includes(drag.kind)) return;
    if (measuring.kind === "ruler" || measuring.points.length === 3) {
      app.measures.push(measuring);
      app.measuring = null;
    }
    app.touch("marks");
  }

  #leave() {
    if (this.drag !== null) return;
    this.hover = null;
    this.hideRing();
    this.app.status.place(this.app.cursor);
  }

  ring(view, event) {
    const { app } = this;
    const painting = PAINTING.has(app.tool) && !app.readOnly && view.source === "current";
    for (const each of app.views) each.showRing(each === view && painting ? event : null, app.editing.radius(view));
  }

  hideRing() {
    for (const view of this.app.views) view.showRing(null, null);
    if (this.hover !== null && this.app.views.includes(this.hover.view)) this.ring(this.hover.view, this.hover.event);
  }

  #wheel(event) {
    const { app } = this;
    const view = this.#viewOf(event);
    if (view === null) return;
    event.preventDefault();
    app.deciding.active();
    app.moved = true;
    if (event.shiftKey && PAINTING.has(app.tool)) {
      app.editing.resize(-(event.deltaY || event.deltaX));
      app.toolbar.refresh();
      this.ring(view, event);
    } else if (event.ctrlKey || app.info.dims === 2) this.#zoom(view, event);
    else {
      this.rest += event.deltaMode === 0 ? event.deltaY : event.deltaY * NOTCH;
      const steps = Math.abs(event.deltaY) >= NOTCH ? Math.sign(event.deltaY) * Math.max(1, Math.round(Math.abs(event.deltaY) / 120)) : Math.trunc(this.rest / NOTCH);
      if (steps === 0) return;
      this.rest = 0;
      app.scroll(view.plane, -steps);
      app.frames.want("wheel", event);
      app.status.hover(view, event);
      if (app.editing.stroke !== null) app.editing.extend(view, view.voxelAt(event));
    }
  }

  #zoom(view, event) {
    const { app } = this;
    const camera = app.cameraOf(view.plane);
    const zoom = Math.min(40, Math.max(0.5, camera.zoom * Math.exp(-event.deltaY / 500)));
    const box = view.canvas.getBoundingClientRect();
    const part = (now, start, place, length) => ((now - start) * view.ratio - place) / length;
    const u = part(event.clientX, box.left, view.frame.x, view.frame.width);
    const v = part(event.clientY, box.top, view.frame.y, view.frame.height);
    const keep = camera.zoom / zoom;
    app.setCamera(view.plane, { zoom, u: u + (camera.u - u) * keep, v: v + (camera.v - v) * keep });
    app.frames.want("wheel", event);
  }

  /** The voxel under the pointer, or the crosshair's. */
  voxel() {
    const { hover, app } = this;
    if (hover === null || !app.views.includes(hover.view)) return app.cursor;
    const voxel = hover.view.voxelAt(hover.event);
    return inside(app.size, voxel) ? voxel : app.cursor;
  }
}
