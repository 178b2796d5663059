// The panel at the right: labels with their volumes, window, overlay, agreement with the model, versions and comments.

import { DIFFERENCE } from "./blend.js";
import { fill, h, icon, say } from "./dom.js";
import { hintOf } from "./keys.js";

const SIGNS = {
  shown: "M2 12c5-8 15-8 20 0-5 8-15 8-20 0M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  hidden: "M2 12c5-8 15-8 20 0-5 8-15 8-20 0M4 20 20 4",
  locked: "M6 11h12v9H6zM8 11V8a4 4 0 0 1 8 0v3",
  open: "M6 11h12v9H6zM8 11V7a4 4 0 0 1 7-2",
};
const MOST = 40; // labels listed; of more instances only the active one

export class Panel {
  constructor(app) {
    this.app = app;
    const section = (title, ...children) => h("section", {}, h("h2", {}, title), children);
    this.labels = h("ul", { class: "mu-labels", "aria-label": "Labels" });
    this.numbers = h("dl", { class: "mu-numbers" });
    this.legend = h("p", { class: "mu-legend", hidden: true });
    this.windowText = h("output", { class: "mu-window" });
    this.presets = h("select", { "aria-label": hintOf("preset"), title: hintOf("preset"), onchange: () => app.commands.usePreset(this.presets.selectedIndex) }, app.info.window.presets.map(({ name }) => h("option", {}, name)));
    this.opacity = h("input", { type: "range", min: "5", max: "100", "aria-label": "Opacity of the labels", oninput: () => {
      app.opacity = Number(this.opacity.value) / 100;
      app.refreshLabels();
    } });
    this.versions = h("ol", { class: "mu-versions" });
    this.comments = h("ul", { class: "mu-comments" });
    this.agreement = section("Active label", this.numbers, this.legend);
    const press = (id, text) => h("button", { type: "button", class: "mu-small", title: hintOf(id), onclick: () => app.commands[id]() }, text);
    this.element = h("aside", { class: "mu-panel", "aria-label": "Labels and numbers" },
      section("Labels", this.labels, h("label", { class: "mu-row" }, "Opacity", this.opacity), h("div", { class: "mu-row" }, press("outline", "Outline"), press("solo", "Solo"), press("hide", "Hide"), press("palette", "Colours")), app.labels.instances ? press("instance", "New instance") : null),
      app.toolbar.range,
      this.agreement,
      section("Window", h("div", { class: "mu-row" }, this.presets, this.windowText), h("div", { class: "mu-row" }, press("invert", "Invert"), press("resetWindow", "Reset"), app.info.channels > 1 && !app.colour ? press("channel", "Channel") : null)),
      section("Versions", this.versions),
      section("Comments", this.comments, press("comment", "Add a comment")));
    this.rows = new Map();
    this.refresh();
    this.refreshWindow();
  }

  /** Refresh at the next frame, once, however many edits there are. */
  refreshSoon() {
    if (this.soon) return;
    this.soon = true;
    requestAnimationFrame(() => {
      this.soon = false;
      if (!this.app.gone) this.refresh();
    });
  }

  refreshWindow() {
    const [low, high] = this.app.window;
    const digits = Math.abs(high - low) < 10 ? 3 : 0;
    say(this.windowText, `C ${((low + high) / 2).toFixed(digits)}  W ${Math.abs(high - low).toFixed(digits)}${high < low ? "  inverted" : ""}`);
  }

  #values() {
    const { labels, counts } = this.app;
    if (!labels.instances) return labels.entries.map((entry) => entry.value);
    const used = [...counts.mine].filter(([, count]) => count > 0).map(([label]) => label).sort((a, b) => a - b);
    const list = used.length > MOST ? [labels.active] : [...new Set([...used, labels.active])];
    this.more = used.length > MOST ? used.length : 0;
    return list;
  }

  refresh() {
    const { app } = this;
    if (app.counts === undefined || this.rows === undefined) return;
    const values = this.#values();
    if (values.join() !== [...this.rows.keys()].join()) this.#build(values);
    for (const value of values) this.#row(value);
    this.opacity.value = String(Math.round(app.opacity * 100));
    this.#numbers();
    this.#versions();
    fill(this.comments, app.comments.map((each) => h("li", {}, each.voxel ? h("button", { type: "button", class: "mu-link", onclick: () => app.moveTo([...each.voxel, 0].slice(0, 3)) }, `● ${each.voxel.join(", ")}`) : null, ` ${each.text} `, h("small", {}, each.user ?? ""))));
  }

  #build(values) {
    const { app } = this;
    this.rows.clear();
    for (const [n, value] of values.entries()) {
      const swatch = h("span", { class: "mu-swatch" });
      const name = h("button", { type: "button", class: "mu-name", onclick: () => app.choose(value) });
      const volume = h("span", { class: "mu-volume" });
      const eye = h("button", { type: "button", class: "mu-eye", onclick: () => this.#toggle(value, "shown") });
      const lock = h("button", { type: "button", class: "mu-lock", onclick: () => this.#toggle(value, "locked") });
      const plain = app.labels.entry(value) === null;
      const item = h("li", {}, swatch, h("kbd", {}, n < 9 && !plain ? String(n + 1) : ""), name, volume, plain ? null : [eye, lock]);
      this.rows.set(value, { item, swatch, name, volume, eye, lock });
    }
    fill(this.labels, [...this.rows.values()].map((row) => row.item), this.more ? h("li", {}, `${this.more} instances`) : null);
  }

  #toggle(value, what) {
    const entry = this.app.labels.entry(value);
    entry[what] = !entry[what];
    this.app.refreshLabels();
  }

  #row(value) {
    const { app } = this;
    const row = this.rows.get(value);
    const entry = app.labels.entry(value);
    const active = app.labels.active === value;
    const name = app.labels.nameOf(value);
    row.item.classList.toggle("mu-active", active);
    row.name.setAttribute("aria-pressed", String(active));
    row.swatch.style.background = app.labels.colourOf(value);
    row.item.classList.toggle("mu-hidden", !app.labels.isShown(value));
    say(row.name, name);
    say(row.volume, app.maskLoaded ? this.#size(value) : "…");
    const set = (button, on, words, sign) => {
      button.setAttribute("aria-pressed", String(on));
      button.setAttribute("aria-label", `${words} ${name}`);
      button.title = words;
      if (button.dataset.sign === sign) return;
      button.dataset.sign = sign;
      fill(button, icon(SIGNS[sign]));
    };
    set(row.eye, entry?.shown ?? true, entry?.shown ? "hide" : "show", entry?.shown ? "shown" : "hidden");
    set(row.lock, entry?.locked ?? false, entry?.locked ? "unlock" : "lock", entry?.locked ? "locked" : "open");
  }

  #size(label) {
    const { app } = this;
    if (app.info.dims === 2) return `${app.counts.voxels(label).toLocaleString("en")} px`;
    const ml = app.millilitres(label);
    return `${ml.toFixed(ml < 10 ? 2 : 1)} ml`;
  }

  #numbers() {
    const { app } = this;
    const label = app.labels.active;
    const { parts, hd95 } = app.verify?.found.get(label) ?? {};
    const dice = app.counts.dice(label);
    const rows = [["Label", app.labels.nameOf(label)], ["Voxels", app.maskLoaded ? app.counts.voxels(label).toLocaleString("en") : "…"], ["Parts", parts ?? "–"]];
    if (app.model !== null) {
      rows.push(["Dice to model", dice === null ? "–" : dice.toFixed(4)]);
      rows.push(["HD95 to model", hd95 === undefined || hd95 === null ? "–" : `${hd95.toFixed(2)} mm`]);
    }
    fill(this.numbers, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]));
    this.legend.hidden = app.difference === null;
    if (app.difference === null) return;
    const spot = (colour) => {
      const mark = h("span", { class: "mu-swatch" });
      mark.style.background = colour;
      return mark;
    };
    fill(this.legend, `Against ${app.difference.name}: `, spot(DIFFERENCE.added), " added ", spot(DIFFERENCE.removed), " removed ", spot(DIFFERENCE.changed), " changed");
  }

  #versions() {
    const { app } = this;
    const key = `${app.rev} ${app.info.versions.length} ${app.readOnly}`;
    if (this.shownVersions === key) return;
    this.shownVersions = key;
    const restore = (rev) => h("button", { type: "button", class: "mu-link", title: `make version ${rev} the current one`, onclick: () => app.saving.restore(rev) }, "restore");
    const day = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
    fill(this.versions, [...app.info.versions].reverse().map(({ rev, author, tool, created }) => h("li", {}, `${rev}  ${author}`, h("small", {}, ` ${tool}, ${day(created)} `), rev === app.rev ? h("em", {}, "current") : app.readOnly ? null : restore(rev))));
  }
}
