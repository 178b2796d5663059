// The entry of the Streamlit component: one viewer in its element, made anew when the case changes.

import { App } from "./app.js";

const apps = new WeakMap();

/** Mount or update; returns the function that takes the viewer away. */
export default function mount({ data, parentElement, setTriggerValue }) {
  const trigger = (name, value) => setTriggerValue?.(name, value);
  const known = apps.get(parentElement);
  if (known !== undefined && !known.gone && known.data.case === data.case) {
    Object.assign(known, { data, trigger });
    return () => remove(parentElement);
  }
  known?.destroy();
  const app = new App({ parent: parentElement, data, trigger, assets: { worker: new URL(WORKER_FILE, import.meta.url) } });
  apps.set(parentElement, app);
  expose(app);
  return () => remove(parentElement);
}

function remove(parent) {
  apps.get(parent)?.destroy();
  apps.delete(parent);
}

/** What tests and benchmarks may ask: times and state, never voxels by name. */
function expose(app) {
  window.__medunet = {
    app,
    get metrics() {
      return { ...app.metrics, painted: app.frames.painted, journal_ms: app.journal?.times ?? [] };
    },
    get state() {
      return { rev: app.rev, sha256: app.sha256, dirty: app.dirtyMask, readOnly: app.readOnly, slice: app.cursor, waiting: app.saving.state.waiting };
    },
  };
}
