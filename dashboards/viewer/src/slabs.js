// Loading a volume in slabs of slices, from the middle outwards and always first what is being looked at.

/** The slabs [first, end) of nz slices. */
export function slabsOf(nz, thickness) {
  return Array.from({ length: Math.ceil(nz / thickness) }, (_, n) => ({ n, first: n * thickness, end: Math.min(nz, (n + 1) * thickness) }));
}

export class SlabLoader {
  /** fetchSlab(slab) -> promise; arrived(slab) is called as each one lands; sliceNow() says what is looked at. */
  constructor({ nz, thickness, order = null, fetchSlab, arrived, sliceNow, parallel = 4 }) {
    const slabs = slabsOf(nz, thickness);
    const known = order !== null && order.length === slabs.length && new Set(order).size === slabs.length;
    this.waiting = known ? order.map((n) => slabs[n]) : slabs;
    this.loaded = new Uint8Array(nz);
    Object.assign(this, { fetchSlab, arrived, sliceNow, parallel });
  }

  /** The waiting slab nearest to the slice that is looked at. */
  next() {
    if (this.waiting.length === 0) return null;
    const slice = this.sliceNow();
    const away = (slab) => (slice < slab.first ? slab.first - slice : slice >= slab.end ? slice - slab.end + 1 : 0);
    let best = 0;
    this.waiting.forEach((slab, n) => {
      if (away(slab) < away(this.waiting[best])) best = n;
    });
    return this.waiting.splice(best, 1)[0];
  }

  /** Load everything; the first slab alone, so that it has the whole line for itself. */
  async run(afterFirst = () => {}) {
    await this.#one(this.next());
    afterFirst();
    await Promise.all(Array.from({ length: this.parallel }, () => this.#work()));
  }

  async #work() {
    for (let slab = this.next(); slab !== null; slab = this.next()) await this.#one(slab);
  }

  async #one(slab) {
    if (slab === null) return;
    await this.fetchSlab(slab);
    this.loaded.fill(1, slab.first, slab.end);
    this.arrived(slab);
  }
}

/** Read a response's bytes into a typed array piece by piece: no second copy of the volume is made. */
export async function readInto(response, bytes) {
  const reader = response.body.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > bytes.length) {
      await reader.cancel();
      throw new Error(`The server sent more than the ${bytes.length} bytes expected.`);
    }
    bytes.set(value, at);
    at += value.length;
  }
  if (at !== bytes.length) throw new Error(`The server sent ${at} bytes; ${bytes.length} were expected.`);
}
