// The tools at the left: one button a tool, drawn as small pictures, with the key in the tooltip.

import { h, icon } from "./dom.js";
import { PAINTING } from "./editing.js";
import { hintOf } from "./keys.js";

// Paths on a 24 x 24 grid, drawn with a round pen.
const ICONS = {
  navigate: "M12 3v7M12 14v7M3 12h7M14 12h7",
  brush: "M20 4 10 14M10 14c-3 0-4 2-4 4 0 1-1 2-2 2 5 1 8-1 8-4z",
  eraser: "M4 16 13 7l5 5-8 8H8zM9 11l6 6M11 20h9",
  bucket: "M5 12 12 5l7 7-7 7zM12 5 9 2M20 15c1 2 2 3 2 4a2 2 0 0 1-4 0c0-1 1-2 2-4",
  ball: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M3 12c4 3 14 3 18 0M12 3c-4 5-4 13 0 18",
  range: "M4 20V10M9 20V4M14 20v-7M19 20V8M2 15h20",
  interpolate: "M5 5c6-3 8-3 14 0M5 19c6 3 8 3 14 0M5 12h3M11 12h2M16 12h3",
  holes: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 9v6M9 12h6",
  largest: "M9 5a6 6 0 1 0 0 12A6 6 0 0 0 9 5M19 15l4 4M23 15l-4 4",
  ruler: "M3 17 17 3l4 4L7 21zM7 13l2 2M10 10l2 2M13 7l2 2",
  angle: "M4 20 18 5M4 20h17M13 20c0-4-1-6-3-7",
  undo: "M8 5 4 9l4 4M4 9h9a6 6 0 0 1 0 12h-3",
  redo: "M16 5l4 4-4 4M20 9h-9a6 6 0 0 0 0 12h3",
  outline: "M12 4c5 0 8 3 8 8s-3 8-8 8-8-3-8-8 3-8 8-8M9 12a3 3 0 1 0 6 0 3 3 0 0 0-6 0",
  heat: "M12 3c1 4 5 6 5 11a5 5 0 0 1-10 0c0-3 2-4 2-7 2 1 3 2 3-4",
  difference: "M9 6a6 6 0 1 0 0 12A6 6 0 0 0 9 6M15 6a6 6 0 1 0 0 12 6 6 0 0 0 0-12",
  compare: "M4 5h16v14H4zM9.3 5v14M14.6 5v14",
  layout: "M4 5h16v14H4zM12 5v14M4 12h16",
  depth: "M12 3 4 7v10l8 4 8-4V7zM4 7l8 4 8-4M12 11v10",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  help: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 18v.2",
};
const GROUPS = [
  ["navigate", "brush", "eraser", "bucket", "ball", "range"],
  ["interpolate", "holes", "largest", "undo", "redo"],
  ["ruler", "angle"],
  ["outline", "heat", "difference", "compare", "layout", "depth"],
  ["full", "help"],
];

export class Toolbar {
  constructor(app) {
    this.app = app;
    this.buttons = new Map();
    const flat = app.size[2] === 1;
    const absent = new Set(flat ? ["interpolate", "ball", "layout", "depth"] : []);
    if (!app.info.urls.uncertainty) absent.add("heat");
    const groups = GROUPS.map((ids) => h("div", { class: "mu-group" }, ids.filter((id) => !absent.has(id)).map((id) => this.#button(id))));
    this.size = h("span", { class: "mu-size", title: "brush: [ smaller, ] larger" });
    this.element = h("nav", { class: "mu-tools", "aria-label": "Tools" }, groups[0], this.size, groups.slice(1));
    this.low = h("input", { type: "number", step: "any", "aria-label": "Lowest value painted" });
    this.high = h("input", { type: "number", step: "any", "aria-label": "Highest value painted" });
    for (const input of [this.low, this.high]) input.addEventListener("change", () => this.#range());
    this.range = h("div", { class: "mu-range", hidden: true }, "paint only ", this.low, " to ", this.high);
  }

  #button(id) {
    const button = h("button", { type: "button", title: hintOf(id), "aria-label": hintOf(id), onclick: () => {
      this.app.commands[id]();
      this.app.root.focus({ preventScroll: true });
    } }, icon(ICONS[id]));
    this.buttons.set(id, button);
    return button;
  }

  #range() {
    const values = [Number(this.low.value), Number(this.high.value)].sort((a, b) => a - b);
    this.app.editing.range = values;
  }

  /** Paint only values in a range: at first the part of the window's range that a soft threshold suggests. */
  toggleRange() {
    const { editing } = this.app;
    editing.rangeOn = !editing.rangeOn;
    if (editing.range === null) {
      const [low, high] = [...this.app.window].sort((a, b) => a - b);
      editing.range = [Math.round((low + high) / 2), Math.round(high)];
    }
    [this.low.value, this.high.value] = editing.range.map(String);
    this.app.announce(editing.rangeOn ? `Painting only values from ${editing.range[0]} to ${editing.range[1]}.` : "Painting all values.");
    this.refresh();
  }

  refresh() {
    const { app } = this;
    if (this.element === undefined) return;
    const { editing } = app;
    const pressed = {
      ball: editing.ball, range: editing.rangeOn, outline: app.style !== "fill", heat: app.heatShown, difference: app.difference !== null,
      compare: app.layout === "compare", layout: app.layout === "single", depth: app.layout === "depth",
    };
    for (const [id, button] of this.buttons) {
      const isTool = ["navigate", "brush", "eraser", "bucket", "ruler", "angle"].includes(id);
      if (isTool || id in pressed) button.setAttribute("aria-pressed", String(isTool ? app.tool === id : pressed[id]));
    }
    this.size.textContent = PAINTING.has(app.tool) && app.activeView() !== null ? `⌀ ${(2 * editing.radius(app.activeView())).toFixed(1)} mm` : "";
    this.range.hidden = !editing.rangeOn;
    for (const view of app.views) view.element.classList.toggle("mu-on", view.plane.name === app.activePlane);
  }
}
