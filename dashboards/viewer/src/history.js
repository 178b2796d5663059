// Edits as sparse runs (start, length, before, after): the undo, the journal and the merge are all made of them.

import { Growing } from "./runs.js";
import { emptyBox, include } from "./volume.js";

/** Writes voxels of a mask and remembers what they were. */
export class Recorder {
  constructor(data) {
    this.data = data;
    this.indices = new Growing(256);
    this.before = new Growing(256, Uint16Array);
    this.after = new Growing(256, Uint16Array);
    this.ascending = true;
    this.last = -1;
  }

  /** Set a voxel; each voxel at most once in a recording (one stroke writes one value). */
  set(index, value) {
    const old = this.data[index];
    if (old === value) return;
    this.data[index] = value;
    if (index < this.last) this.ascending = false;
    this.last = index;
    this.indices.push(index);
    this.before.push(old);
    this.after.push(value);
  }

  get count() {
    return this.indices.length;
  }

  /** The change as runs in ascending order, or null where nothing changed. */
  finish(tool) {
    const { count } = this;
    if (count === 0) return null;
    const order = this.ascending ? null : ascending(this.indices.data, count);
    const starts = new Growing(64);
    const lengths = new Growing(64);
    const before = new Growing(64, Uint16Array);
    const after = new Growing(64, Uint16Array);
    for (let n = 0; n < count; n += 1) {
      const k = order === null ? n : order[n];
      const index = this.indices.data[k];
      const last = starts.length - 1;
      const joins =
        last >= 0 &&
        starts.data[last] + lengths.data[last] === index &&
        before.data[last] === this.before.data[k] &&
        after.data[last] === this.after.data[k];
      if (joins) lengths.data[last] += 1;
      else {
        starts.push(index);
        lengths.push(1);
        before.push(this.before.data[k]);
        after.push(this.after.data[k]);
      }
    }
    return { tool, voxels: count, starts: starts.done(), lengths: lengths.done(), before: before.done(), after: after.done() };
  }
}

/** Order of the first `count` indices; a key below 2^53 holds index and place, so that the native sort can be used. */
function ascending(indices, count) {
  const keys = new Float64Array(count);
  for (let n = 0; n < count; n += 1) keys[n] = indices[n] * count + n;
  keys.sort();
  return keys.map((key) => key % count);
}

/** Write a change into a mask. */
export function apply(data, change) {
  for (let run = 0; run < change.starts.length; run += 1) {
    data.fill(change.after[run], change.starts[run], change.starts[run] + change.lengths[run]);
  }
}

/** The change that takes a change back. */
export const inverse = (change) => ({ ...change, before: change.after, after: change.before });

/** Whether a mask still has what a change expects to find. */
export function fits(data, change) {
  for (let run = 0; run < change.starts.length; run += 1) {
    const end = change.starts[run] + change.lengths[run];
    if (end > data.length) return false;
    for (let n = change.starts[run]; n < end; n += 1) if (data[n] !== change.before[run]) return false;
  }
  return true;
}

/** The box of voxels that a change touches. */
export function boxOf(change, size) {
  const [nx, ny] = size;
  const box = emptyBox();
  for (let run = 0; run < change.starts.length; run += 1) {
    const first = change.starts[run];
    const last = first + change.lengths[run] - 1;
    const [row, end] = [Math.floor(first / nx), Math.floor(last / nx)];
    include(box, row === end ? first % nx : 0, row % ny, Math.floor(row / ny));
    include(box, row === end ? last % nx : nx - 1, end % ny, Math.floor(end / ny));
    if (Math.floor(row / ny) !== Math.floor(end / ny)) {
      include(box, 0, 0, Math.floor(row / ny));
      include(box, nx - 1, ny - 1, Math.floor(end / ny));
    }
  }
  return box;
}

const bytesOf = (change) => 12 * change.starts.length + 64;

/** Undo and redo over all slices; the oldest steps go when they take more than `limit` bytes. */
export class History {
  constructor(limit = 48 * 2 ** 20) {
    this.limit = limit;
    this.clear();
  }

  clear() {
    this.done = [];
    this.undone = [];
    this.bytes = 0;
  }

  push(change) {
    this.done.push(change);
    this.undone = [];
    this.bytes = this.done.reduce((sum, each) => sum + bytesOf(each), 0);
    while (this.bytes > this.limit && this.done.length > 1) this.bytes -= bytesOf(this.done.shift());
  }

  /** Take the last change back; returns the change that was applied, or null. */
  undo(data) {
    const change = this.done.pop();
    if (change === undefined) return null;
    this.undone.push(change);
    const back = { ...inverse(change), tool: "undo" };
    apply(data, back);
    return back;
  }

  redo(data) {
    const change = this.undone.pop();
    if (change === undefined) return null;
    this.done.push(change);
    apply(data, change);
    return { ...change, tool: "redo" };
  }
}
