// Saving a version, and what to do when somebody else saved first. Edits are never thrown away.

import { gzip } from "./codec.js";
import { h } from "./dom.js";
import { Recorder } from "./history.js";
import { fetchMask } from "./loader.js";
import { compare, merge, replace } from "./merge.js";
import { RunMask } from "./runs.js";

const RENEW_MS = 30000;

export class Saving {
  constructor(app) {
    this.app = app;
    this.token = null;
    this.state = { waiting: 0, failing: false };
    this.busy = null;
  }

  // ------------------------------------------------------------------------------- lease

  async takeLease() {
    const { app } = this;
    if (!app.can.has("edit")) return this.#look("your role may look, not edit");
    try {
      this.token = (await app.api.lease("take")).token;
    } catch (error) {
      const holder = error.body?.holder ?? "another reader";
      this.#look(error.status === 423 ? `${holder} is editing this case` : error.message);
      return app.dialogs.banner("lease", `Looking only: ${app.whyReadOnly}.`, [["Try again", () => this.takeLease()]]);
    }
    app.readOnly = false;
    app.dialogs.dropBanner("lease");
    this.timer ??= setInterval(() => this.#renew(), RENEW_MS);
    return this.show();
  }

  #look(why) {
    this.app.readOnly = true;
    this.app.whyReadOnly = why;
    this.show();
  }

  async #renew() {
    const { app } = this;
    if (this.token === null) return;
    try {
      await app.api.lease("renew", this.token);
    } catch (error) {
      if (![409, 423].includes(error.status)) return; // no line: the server keeps the lease for a while
      this.token = null;
      await this.takeLease();
    }
  }

  drop() {
    clearInterval(this.timer);
    if (this.token !== null) this.app.api.lease("drop", this.token, true).catch(() => {});
    this.token = null;
  }

  // ------------------------------------------------------------------------------- saving

  told(state) {
    this.state = state;
    this.show();
  }

  /** Say in the head whether the edits are safe. */
  show() {
    const { app, state } = this;
    if (app.head === undefined) return;
    const text = app.readOnly
      ? "looking only"
      : this.busy !== null
        ? "saving …"
        : state.failing
          ? `no line: ${state.waiting} edits kept in this browser`
          : app.dirtyMask
            ? "edited, journal kept"
            : `version ${app.rev ?? "–"}`;
    app.deciding.saved(text, app.dirtyMask && !app.readOnly, state.failing);
  }

  /** Save what is edited; true when the mask on the server is the one shown. */
  save() {
    this.busy ??= this.#save().finally(() => {
      this.busy = null;
      this.show();
    });
    this.show();
    return this.busy;
  }

  async #save(force = false) {
    const { app } = this;
    if (!app.maskLoaded || (!app.dirtyMask && !force)) {
      app.announce("Nothing to save.");
      return true;
    }
    if (!app.editing.ready()) return false;
    app.editing.end();
    const began = performance.now();
    app.frozen = true; // the snapshot must not change under the packer
    const runs = RunMask.of(app.mask, app.size);
    const body = await gzip(app.mask);
    const strokes = app.journal?.seq > 0 ? String(app.journal.seq - 1) : "";
    app.since = [];
    app.frozen = false;
    try {
      const tool = [...app.tools].join(",").slice(0, 60) || "none";
      const done = await app.api.putMask(app.info.urls.mask, body, { rev: app.rev, token: this.token ?? "", dtype: app.maskType, tool, strokes });
      await this.#saved(done, runs);
      app.metrics.save_s.push((performance.now() - began) / 1000);
      return true;
    } catch (error) {
      app.since = null;
      await this.#failed(error);
      return false;
    }
  }

  async #saved({ rev, sha256 }, runs) {
    const { app } = this;
    const since = app.since;
    if (app.model === null && app.info.model_rev === rev) app.model = runs;
    Object.assign(app, { rev, sha256, base: runs, since: null, dirtyMask: since.length > 0, previousRev: null });
    app.info.versions.push({ rev, author: "you", tool: [...app.tools].join(","), created: Date.now() / 1000 });
    app.tools = new Set(since.map((change) => change.tool));
    await app.journal?.rebase(rev, since);
    app.announce(`Saved as version ${rev}.`);
    app.trigger("saved", { rev });
  }

  async #failed(error) {
    const { app } = this;
    if (error.status === 412) return this.#conflict(error.body);
    if (error.status === 409 || error.status === 423) {
      this.token = null;
      await this.takeLease();
      if (this.token !== null) return app.dialogs.banner("save", "The lease had run out and was taken again.", [["Save now", () => this.save()]]);
    }
    return app.dialogs.banner("save", `Not saved: ${error.message}. Your edits are kept.`, [["Try again", () => this.save()]]);
  }

  // ------------------------------------------------------------------------------- conflict

  async #conflict({ rev }) {
    const { app } = this;
    const theirs = await fetchMask(app, rev);
    const found = compare(app.base, app.mask, theirs.array);
    const numbers = `Version ${rev} was saved meanwhile. Changed only by you: ${found.mine.toLocaleString("en")} voxels, only there: ${found.theirs.toLocaleString("en")}, by both and unlike: ${found.collisions.toLocaleString("en")}.`;
    const onto = (operate) => async () => {
      app.dialogs.close();
      const base = app.base;
      app.editing.run("merge", (recorder) => operate(recorder, base));
      Object.assign(app, { rev: theirs.rev, base: RunMask.of(theirs.array, app.size), dirtyMask: true });
      const whole = new Recorder(theirs.array); // what has to be done to theirs to come to what is shown
      replace(whole, app.mask);
      const change = whole.finish("merge");
      await app.journal?.rebase(theirs.rev, change === null ? [] : [change]);
      this.show();
    };
    const look = () => {
      app.dialogs.close();
      app.difference = { name: `version ${rev}`, runs: RunMask.of(theirs.array, app.size) };
      app.touch("labels");
      app.dialogs.banner("save", `Showing what differs from version ${rev}.`, [["Decide", () => this.#conflict({ rev })]]);
    };
    app.dialogs.open("Somebody else saved first", [h("p", {}, numbers), h("p", {}, "Nothing is lost: your edits are kept here and in the journal. After choosing, look and save again.")], [
      ["Look at the difference", look],
      ["Merge, mine where unlike", onto((recorder, base) => merge(recorder, base, theirs.array, "mine"))],
      ["Merge, theirs where unlike", onto((recorder, base) => merge(recorder, base, theirs.array, "theirs"))],
      ["Keep mine as a new version", onto(() => {})],
      ["Take theirs (undo brings mine back)", onto((recorder) => replace(recorder, theirs.array))],
    ]);
  }

  // ------------------------------------------------------------------------------- comparison

  /** Have another version to compare with: the last one that is neither the model's nor the current, else what was saved. */
  async fetchPrevious() {
    const { app } = this;
    const others = app.info.versions.map((each) => each.rev).filter((each) => each !== app.rev && each !== app.info.model_rev);
    const wanted = others.sort((a, b) => a - b).at(-1) ?? (app.dirtyMask ? app.rev : null);
    if (wanted === app.previousRev) return;
    app.previous = wanted === null ? null : wanted === app.rev ? app.base : RunMask.of((await fetchMask(app, wanted)).array, app.size);
    app.previousRev = wanted;
    app.previousName = wanted === app.rev ? `version ${wanted} as saved` : `version ${wanted}`;
  }

  async compare() {
    const { app } = this;
    if (app.layout === "compare") return app.arrange("planes");
    await this.fetchPrevious().catch((error) => app.announce(error.message));
    if (app.model === null && app.previous === null) return app.announce("There is no other version to compare with.");
    return app.arrange("compare");
  }

  /** Go round: no difference, to the model, to an earlier version. */
  async nextDifference() {
    const { app } = this;
    await this.fetchPrevious().catch(() => {});
    const choices = [null];
    if (app.model !== null) choices.push({ name: "the model", runs: app.model });
    if (app.previous !== null) choices.push({ name: app.previousName, runs: app.previous });
    if (app.dirtyMask && app.previousRev !== app.rev) choices.push({ name: `version ${app.rev} as saved`, runs: app.base });
    const at = choices.findIndex((each) => each?.name === app.difference?.name);
    app.difference = choices[(at + 1) % choices.length];
    app.announce(app.difference === null ? "Labels." : `Difference to ${app.difference.name}: green added, pink removed, yellow changed.`);
    app.panel.refresh();
    app.toolbar.refresh();
    app.touch("labels");
  }

  /** Make an earlier version the current one. */
  async restore(rev) {
    const { app } = this;
    if (app.dirtyMask) return app.announce("Save or undo your edits first.");
    try {
      await app.api.restore(rev, this.token ?? "", app.rev);
      const { array, rev: now } = await fetchMask(app);
      app.editing.run("restore", (recorder) => replace(recorder, array));
      Object.assign(app, { rev: now, base: RunMask.of(array, app.size), dirtyMask: false });
      await app.journal?.rebase(now, []);
      app.info.versions.push({ rev: now, author: "you", tool: "restore", created: Date.now() / 1000 });
      app.panel.refresh();
      return this.show();
    } catch (error) {
      return app.announce(error.message);
    }
  }
}
