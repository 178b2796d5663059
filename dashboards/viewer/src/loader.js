// Opening a case: its description, then the slabs from the middle outwards, the mask, the lease and what a crash left over.

import { apply, boxOf } from "./history.js";
import { Journal, openShelf } from "./journal.js";
import { Labels } from "./labels.js";
import { Counts } from "./measure.js";
import { RunMask } from "./runs.js";
import { readInto, SlabLoader } from "./slabs.js";
import { voxelsOf } from "./volume.js";

const TYPES = { int16: Int16Array, uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };
const MOST_BYTES = 1.9e9; // a typed array and a browser's tab end about there

const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Fetch a mask into a dense array of the case's size; `into` is used where its type is the one that comes. */
export async function fetchMask(app, rev = null, into = null) {
  const { response, rev: found, dtype, sha256 } = await app.api.mask(app.info.urls.mask, rev);
  const Type = TYPES[dtype] ?? Uint8Array;
  const array = into instanceof Type ? into : new Type(voxelsOf(app.size));
  await readInto(response, bytesOf(array));
  return { array, rev: found, dtype, sha256 };
}

async function fetchSlab(app, slab) {
  const { size, image, info } = app;
  const plane = size[0] * size[1];
  const response = await app.api.voxels(`${info.urls.image}/${slab.n}`);
  const count = plane * (slab.end - slab.first);
  if (info.channels === 1) return readInto(response, bytesOf(image.subarray(plane * slab.first, plane * slab.end)));
  const packed = new image.constructor(count * info.channels);
  await readInto(response, bytesOf(packed));
  for (let channel = 0; channel < info.channels; channel += 1) {
    image.set(packed.subarray(channel * count, (channel + 1) * count), channel * voxelsOf(size) + plane * slab.first);
  }
}

const REDRAW_MS = 300; // while slabs arrive, planes across all of them are made anew this often

function loadImage(app) {
  const { info, size } = app;
  const Type = TYPES[info.dtype];
  const bytes = voxelsOf(size) * info.channels * Type.BYTES_PER_ELEMENT;
  if (bytes > MOST_BYTES) throw new Error(`The image takes ${(bytes / 1e9).toFixed(1)} GB; a browser tab holds about ${MOST_BYTES / 1e9}. Resample it first.`);
  app.image = new Type(voxelsOf(size) * info.channels);
  let redrawn = 0;
  app.loader = new SlabLoader({
    nz: size[2],
    thickness: info.slabs.thickness,
    order: info.slabs.order,
    sliceNow: () => app.cursor[2],
    fetchSlab: (slab) => fetchSlab(app, slab),
    arrived: (slab) => {
      const across = performance.now() - redrawn > REDRAW_MS;
      if (across) redrawn = performance.now();
      for (const view of app.views) {
        const { n } = view.plane;
        if (n === 2 ? view.slice >= slab.first && view.slice < slab.end : across) view.touch("picture");
      }
      app.status.progress(app.loader.loaded.reduce((sum, flag) => sum + flag, 0) / size[2]);
      app.frames.want();
    },
  });
}

async function loadMask(app) {
  const { array, rev, dtype, sha256 } = app.info.rev === 0 ? { array: app.mask, rev: 0, dtype: app.maskType, sha256: null } : await fetchMask(app, null, app.mask);
  if (app.gone) return;
  Object.assign(app, { rev, sha256, maskType: dtype });
  if (array !== app.mask) useType(app, array);
  app.base = RunMask.of(array, app.size);
  await loadModel(app);
  app.counts = new Counts(app.base, app.model);
  app.maskLoaded = true;
  app.saving.show();
  goToLabel(app);
  app.touch("labels");
  app.depth.stale();
  app.panel.refresh();
  app.verify.soon();
}

/** Take a mask of another type than was expected: colour tables and planes are made anew. */
function useType(app, array) {
  app.mask = array;
  app.labels = new Labels(app.info.labels, { instances: app.info.instances, depth: array.BYTES_PER_ELEMENT });
  app.refreshLabels(false);
  app.arrange(app.layout);
}

/** The model's mask for comparison: the same one again, or fetched and kept as runs. */
async function loadModel(app) {
  const { model_rev: model } = app.info;
  if (model === null || model === undefined) return;
  if (model === app.rev) app.model = app.base;
  else app.model = RunMask.of((await fetchMask(app, model)).array, app.size);
}

/** Start where the labels are, if the reader has not moved yet and the middle shows none. */
function goToLabel(app) {
  if (app.moved || app.info.dims === 2) return;
  const middle = app.cursor;
  const boxes = [...app.counts.boxes.values()];
  if (boxes.length === 0 || boxes.some((box) => middle.every((value, axis) => value >= box.low[axis] && value <= box.high[axis]))) return;
  app.moveTo(boxes[0].low.map((value, axis) => (value + boxes[0].high[axis]) / 2));
}

async function recover(app) {
  const user = await app.api.me().then((me) => me.user ?? "reader", () => "reader");
  const send = (base, seq, bytes) => app.api.postStroke(base, seq, bytes);
  app.journal = new Journal({ shelf: await openShelf(), prefix: `${app.info.id}/${user}`, base: app.rev, send, told: (state) => app.saving.told(state) });
  const remote = await app.api.strokes(app.rev).catch(() => []);
  const changes = await app.journal.recover(remote, voxelsOf(app.size));
  if (changes.length === 0) return;
  for (const change of changes) {
    apply(app.mask, change);
    app.history.push(change);
    app.counts.update(change, app.size, boxOf(change, app.size));
    app.tools.add(change.tool);
  }
  app.dirtyMask = true;
  app.touch("labels");
  app.panel.refresh();
  app.saving.show();
  app.dialogs.banner("recovered", `${changes.length} edit${changes.length === 1 ? "" : "s"} not yet saved were brought back.`, [["Take them back (undo)", () => changes.forEach(() => app.editing.undo())]]);
}

export async function load(app) {
  const info = await app.api.info();
  app.describe(info);
  app.maskType = info.mask_dtype ?? (info.instances || info.labels.some((each) => each.value > 255) ? "uint16" : "uint8");
  app.mask = new TYPES[app.maskType](voxelsOf(app.size));
  app.labels = new Labels(info.labels, { instances: info.instances, depth: app.mask.BYTES_PER_ELEMENT });
  app.counts = new Counts(RunMask.empty(app.size), null);
  loadImage(app);
  let start = null;
  const rest = new Promise((resolve, reject) => {
    start = () => Promise.all([loadMask(app), app.saving.takeLease()]).then(resolve, reject);
  });
  app.build();
  await Promise.all([app.loader.run(start), rest]); // the first picture has the line for itself
  if (app.gone) return;
  await recover(app).catch((error) => app.announce(`Edits cannot be written to the journal: ${error.message}`));
  if (info.urls.uncertainty) await loadHeat(app).catch((error) => app.announce(`No uncertainty: ${error.message}`));
  app.touch("picture", "labels", "heat");
  app.metrics.usable_s = (performance.now() - app.began) / 1000;
  app.metrics.usable_page_s = performance.now() / 1000;
  app.status.progress(1);
}

async function loadHeat(app) {
  app.uncertainty = new Uint8Array(voxelsOf(app.size));
  await readInto(await app.api.voxels(app.info.urls.uncertainty), app.uncertainty);
  app.toolbar.refresh();
}
