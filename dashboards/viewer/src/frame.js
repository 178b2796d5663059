// One drawing a frame, and the time from an event to the frame that shows it.

export class Frames {
  constructor(draw) {
    this.draw = draw;
    this.wanted = false;
    this.events = [];
    this.painted = { wheel: [], window: [], brush: [] };
  }

  /** Ask for a frame; an event of a kind is timed until it has been drawn. */
  want(kind = null, event = null) {
    if (kind !== null && this.events.length < 500) this.events.push([kind, event.timeStamp]);
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    this.wanted = false;
    this.draw();
    const now = performance.now();
    for (const [kind, since] of this.events) {
      const list = this.painted[kind];
      list.push(now - since);
      if (list.length > 2000) list.shift();
    }
    this.events = [];
  }
}
