// The head of the page and the decision: accept with two keys, reject and send back with a reason.

import { h, say } from "./dom.js";

const VERDICTS = { accepted: "Accept", rejected: "Reject", needs_edit: "Needs edit" };
// The codes of medunet.review.decisions; a case that brings its own `reasons` is asked for those.
const REASONS = {
  boundary: "the outline is off",
  missed: "something is missing",
  extra: "something is marked that is not there",
  label: "a wrong label",
  side: "left and right are swapped",
  leak: "it runs into a neighbour",
  split: "objects are split or merged wrongly",
  shifted: "the mask does not lie on the image",
  artefact: "an artefact of the image has misled it",
  quality: "the image is not good enough",
  wrong_image: "another body part, modality or sequence",
  unrealistic: "this cannot be a real image",
  other: "another reason, told in the comment",
};
const IDLE_MS = 60000;

export class Deciding {
  constructor(app) {
    this.app = app;
    this.spent = 0;
    this.last = performance.now();
  }

  /** Somebody is at work: time counts up to a minute after the last action. */
  active() {
    const now = performance.now();
    this.spent += Math.min(now - this.last, IDLE_MS);
    this.last = now;
  }

  stop() {
    this.active();
  }

  head() {
    const { app } = this;
    const { info } = app;
    const button = (verdict, key) => h("button", { type: "button", class: `mu-verdict mu-${verdict}`, title: `${VERDICTS[verdict]} (${key})`, disabled: !app.can.has("decide"), onclick: () => this.ask(verdict) }, VERDICTS[verdict]);
    const go = (where, sign, key) => h("button", { type: "button", title: `${where} case (${key})`, "aria-label": `${where} case`, disabled: !app.data.queue?.[where], onclick: () => this.go(where) }, sign);
    this.state = h("span", { class: `mu-chip mu-state-${info.state}` }, info.state.replace("_", " "));
    this.safe = h("span", { class: "mu-safe", role: "status" }, "");
    this.saveButton = h("button", { type: "button", class: "mu-save", title: "save a version (s)", disabled: true, onclick: () => app.saving.save() }, "Save");
    const facts = [info.modality, `${app.size.slice(0, info.dims).join(" × ")}`, `${app.spacing.slice(0, info.dims).map((value) => Number(value.toFixed(2))).join(" × ")} mm`];
    return h("header", { class: "mu-head" },
      h("div", { class: "mu-go" }, go("previous", "‹", ","), go("next", "›", ".")),
      h("h1", {}, info.title), this.state, h("span", { class: "mu-facts" }, facts.join("  ·  ")),
      info.synthetic ? h("span", { class: "mu-chip" }, "synthetic") : null,
      h("span", { class: "mu-gap" }), this.safe, this.saveButton,
      button("accepted", "a"), button("needs_edit", "Shift+e"), button("rejected", "r"));
  }

  saved(text, dirty, failing) {
    say(this.safe, text);
    this.safe.classList.toggle("mu-warn", failing);
    this.saveButton.disabled = !dirty;
  }

  go(where) {
    const next = this.app.data.queue?.[where];
    if (next) this.app.trigger("go", { case: next });
    else this.app.announce(`There is no ${where} case.`);
  }

  ask(verdict) {
    const { app } = this;
    if (!app.can.has("decide")) return app.announce("Your role may not decide.");
    if (!app.maskLoaded) return app.announce("The mask is still loading.");
    const words = app.info.reasons ?? REASONS;
    const boxes = Object.entries(words).map(([code, text]) => [code, h("input", { type: "checkbox", id: `mu-reason-${code}` }), text]);
    const grade = h("select", { "aria-label": "Difficulty" }, h("option", { value: "" }, "not graded"), [1, 2, 3, 4, 5].map((n) => h("option", { value: String(n) }, `${n}${n === 1 ? " easy" : n === 5 ? " hard" : ""}`)));
    const comment = h("textarea", { rows: "2", "aria-label": "Comment", placeholder: "Comment (optional)" });
    const reasons = verdict === "accepted" ? [] : [h("fieldset", {}, h("legend", {}, "Why (at least one)"), boxes.map(([code, box, text]) => h("label", { for: `mu-reason-${code}` }, box, ` ${text}`)))];
    const note = app.dirtyMask ? [h("p", {}, "Your edits are saved first.")] : [];
    const send = () => this.#send({ verdict, reasons: boxes.filter(([, box]) => box.checked).map(([code]) => code), difficulty: grade.value === "" ? null : Number(grade.value), comment: comment.value.trim() });
    app.dialogs.open(`${VERDICTS[verdict]} this mask?`, [...note, ...reasons, h("label", { class: "mu-row" }, "Difficulty ", grade), comment], [[`${VERDICTS[verdict]} (Enter)`, send], ["Cancel", () => app.dialogs.close()]], { enter: send });
    return boxes[0] && verdict !== "accepted" ? boxes[0][1].focus() : undefined;
  }

  async #send(body) {
    const { app } = this;
    if (body.verdict !== "accepted" && body.reasons.length === 0) return app.dialogs.warn("Tick at least one reason.");
    if (body.reasons.includes("other") && body.comment === "") return app.dialogs.warn("Say in the comment which other reason.");
    app.dialogs.close();
    this.active();
    if (app.dirtyMask && !app.readOnly && !(await app.saving.save())) return undefined;
    const began = performance.now();
    try {
      await app.api.decide({ ...body, rev: app.rev, seconds: Math.round(this.spent / 100) / 10 });
    } catch (error) {
      return app.dialogs.banner("decision", `Not decided: ${error.message}.`, [["Try again", () => this.#send(body)]]);
    }
    app.metrics.decision_s.push((performance.now() - began) / 1000);
    app.info.state = body.verdict === "needs_edit" ? "needs_edit" : body.verdict;
    say(this.state, app.info.state.replace("_", " "));
    this.state.className = `mu-chip mu-state-${app.info.state}`;
    app.announce(`Decision stored: ${app.info.state.replace("_", " ")}.`);
    return app.trigger("decided", { case: app.info.id, verdict: body.verdict });
  }
}
