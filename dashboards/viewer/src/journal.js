// Every edit is written down twice before anything else happens: in the browser (IndexedDB) and on the server.
// After a crash of either, the edits since the last saved version are taken from both and applied again.

import { decode, encode, gunzip, gzip } from "./codec.js";

/** Keeps bytes in memory: for tests, and where the browser has no IndexedDB. */
export class MemoryShelf {
  constructor() {
    this.kept = new Map();
  }

  async put(key, value) {
    this.kept.set(key, value);
  }

  async entries(prefix) {
    return [...this.kept].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  async remove(prefix) {
    for (const key of [...this.kept.keys()]) if (key.startsWith(prefix)) this.kept.delete(key);
  }
}

const promised = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** Keeps bytes in the browser's IndexedDB. */
export class IndexedShelf {
  static async open(name = "medunet-viewer") {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("strokes");
    const shelf = new IndexedShelf();
    shelf.database = await promised(request);
    return shelf;
  }

  #store(mode) {
    return this.database.transaction("strokes", mode, { durability: "relaxed" }).objectStore("strokes");
  }

  #range(prefix) {
    return IDBKeyRange.bound(prefix, `${prefix}\uffff`);
  }

  put(key, value) {
    return promised(this.#store("readwrite").put(value, key));
  }

  async entries(prefix) {
    const store = this.#store("readonly");
    const [keys, values] = await Promise.all([promised(store.getAllKeys(this.#range(prefix))), promised(store.getAll(this.#range(prefix)))]);
    return keys.map((key, n) => [key, values[n]]);
  }

  remove(prefix) {
    return promised(this.#store("readwrite").delete(this.#range(prefix)));
  }
}

/** IndexedDB where there is one, else memory. */
export async function openShelf() {
  try {
    return await IndexedShelf.open();
  } catch {
    return new MemoryShelf();
  }
}

const WAITS = [500, 1000, 2000, 5000, 10000, 30000];
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Journal {
  /** prefix names case and reader; send(base, seq, bytes) posts; told({waiting, failing}) hears of every change. */
  constructor({ shelf, prefix, base, send, told = () => {}, pause = wait }) {
    Object.assign(this, { shelf, prefix, base, send, told, pause });
    this.seq = 0;
    this.queue = [];
    this.running = null;
    this.failing = false;
    this.stopped = false;
    this.writing = Promise.resolve();
    this.times = [];
  }

  #key(base, seq) {
    return `${this.prefix}/${base}/${String(seq).padStart(9, "0")}`;
  }

  /** Write a change down; resolves when it lies in the browser. */
  add(change) {
    const { base } = this;
    const seq = this.seq;
    this.seq += 1;
    this.writing = this.writing.then(async () => {
      const bytes = new Uint8Array(await (await gzip(encode(change, seq))).arrayBuffer());
      await this.shelf.put(this.#key(base, seq), bytes);
      if (base !== this.base) return; // saved meanwhile
      this.queue.push({ base, seq, bytes });
      this.#tell();
      this.running ??= this.#drain();
    });
    return this.writing;
  }

  #tell() {
    this.told({ waiting: this.queue.length, failing: this.failing });
  }

  async #drain() {
    let tries = 0;
    while (this.queue.length > 0 && !this.stopped) {
      const { base, seq, bytes } = this.queue[0];
      const began = performance.now();
      try {
        await this.send(base, seq, bytes);
        this.times.push(performance.now() - began);
        if (this.queue[0]?.seq === seq && this.queue[0]?.base === base) this.queue.shift();
        this.failing = false;
        tries = 0;
      } catch (error) {
        const refused = error.status >= 400 && error.status < 500 && ![401, 408, 429].includes(error.status);
        this.failing = true;
        if (refused) this.queue.shift(); // the browser's copy stays; the server will not take this one however often it is asked
        else await this.pause(WAITS[Math.min(tries, WAITS.length - 1)]);
        tries += 1;
      }
      this.#tell();
    }
    this.running = null;
  }

  /** Changes on top of the base that this browser or the server (a list of bytes) keeps, in order; each seq once. */
  async recover(fromServer, limit) {
    const read = async (bytes) => decode(await gunzip(bytes), limit);
    const found = new Map();
    for (const bytes of fromServer) {
      const change = await read(bytes).catch(() => null);
      if (change !== null) found.set(change.seq, change);
    }
    for (const [key, bytes] of await this.shelf.entries(`${this.prefix}/${this.base}/`)) {
      const change = await read(bytes).catch(() => null);
      const seq = Number(key.split("/").at(-1));
      if (change !== null || !found.has(seq)) found.set(seq, change);
    }
    const order = [...found.keys()].sort((a, b) => a - b);
    this.seq = order.length > 0 ? order.at(-1) + 1 : 0;
    const damaged = order.findIndex((seq) => found.get(seq) === null); // what follows was drawn on top of it
    return (damaged < 0 ? order : order.slice(0, damaged)).map((seq) => found.get(seq));
  }

  /** A version was saved: forget what it holds, and keep what was drawn since on top of it. */
  async rebase(base, since) {
    await this.writing;
    const old = await this.shelf.entries(`${this.prefix}/${this.base}/`);
    if (base !== this.base) this.seq = 0; // the same version again: the server knows the numbers so far
    this.base = base;
    this.queue = [];
    for (const change of since) await this.add(change);
    for (const [key] of old) await this.shelf.remove(key);
    this.#tell();
  }

  stop() {
    this.stopped = true;
  }
}
