// Asks the worker; where there can be none, reckons here.

import { hd95Mm } from "./measure.js";

export class Background {
  constructor(url) {
    this.next = 0;
    this.waiting = new Map();
    try {
      this.worker = new Worker(url, { type: "module" });
      this.worker.onmessage = ({ data }) => this.#answer(data.id, data.value);
      this.worker.onerror = () => this.#without();
    } catch {
      this.worker = null;
    }
  }

  #answer(id, value) {
    const job = this.waiting.get(id);
    this.waiting.delete(id);
    job?.resolve(value);
  }

  #without() {
    this.worker = null;
    for (const [id, { job }] of [...this.waiting]) this.#answer(id, hd95Mm(job.a, job.b, job.shape, job.spacing));
  }

  /** HD95 in mm of two crops {a, b, shape, spacing}; null where one is empty. */
  hd95(job) {
    if (this.worker === null) return Promise.resolve(hd95Mm(job.a, job.b, job.shape, job.spacing));
    const id = (this.next += 1);
    return new Promise((resolve) => {
      this.waiting.set(id, { resolve, job });
      this.worker.postMessage({ id, ...job });
    });
  }

  stop() {
    this.worker?.terminate();
  }
}
