// The labels of a case: colours, which are shown, which are locked, which is active.

import { wordOf } from "./blend.js";

// Okabe & Ito, Color Universal Design (2008), without black; for instances also in lighter and darker steps.
const OKABE_ITO = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];

function shade(colour, part) {
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const mixed = parts.map((value) => Math.round(part < 0 ? value * (1 + part) : value + (255 - value) * part));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

const STEPS = [0, 0.35, -0.3];

export class Labels {
  constructor(entries, { instances, depth }) {
    this.instances = instances;
    this.entries = entries.map((entry) => ({ ...entry, shown: true, locked: Boolean(entry.locked) }));
    this.values = depth === 2 ? 65536 : 256;
    this.active = entries.length > 0 ? entries[0].value : 1;
    this.solo = false;
    this.blindSafe = false;
    this.hidden = false;
  }

  entry(value) {
    return this.entries.find((each) => each.value === value) ?? null;
  }

  nameOf(value) {
    if (value === 0) return "background";
    return this.instances ? `instance ${value}` : (this.entry(value)?.name ?? `label ${value}`);
  }

  colourOf(value) {
    const place = this.entries.findIndex((each) => each.value === value);
    if (this.instances || place < 0) {
      const n = value - 1;
      return shade(OKABE_ITO[n % 7], STEPS[Math.floor(n / 7) % STEPS.length]);
    }
    return this.blindSafe ? shade(OKABE_ITO[place % 7], STEPS[Math.floor(place / 7) % 3]) : this.entries[place].colour;
  }

  isShown(value) {
    if (value === 0 || this.hidden) return false;
    if (this.solo) return value === this.active;
    return this.entry(value)?.shown ?? true;
  }

  /** One byte a label: 1 where it is shown. */
  shownFlags() {
    const flags = new Uint8Array(this.values).fill(this.hidden || this.solo ? 0 : 1);
    flags[0] = 0;
    for (const entry of this.entries) flags[entry.value] = this.isShown(entry.value) ? 1 : 0;
    if (this.solo && !this.hidden) flags[this.active] = 1;
    return flags;
  }

  /** One byte a label: 1 where it is locked. */
  lockedFlags() {
    const flags = new Uint8Array(this.values);
    for (const entry of this.entries) flags[entry.value] = entry.locked ? 1 : 0;
    return flags;
  }

  /** RGBA words of all labels with an opacity; hidden ones are clear. */
  table(opacity) {
    const words = new Uint32Array(this.values);
    const shown = this.shownFlags();
    const known = this.instances ? this.values : Math.max(256, ...this.entries.map((each) => each.value + 1));
    for (let value = 1; value < Math.min(known, this.values); value += 1) {
      if (shown[value] === 1) words[value] = wordOf(this.colourOf(value), opacity);
    }
    return words;
  }

  /** Labels that a save may hold; null where any may (instances). */
  allowed() {
    return this.instances ? null : new Set(this.entries.map((each) => each.value));
  }
}
