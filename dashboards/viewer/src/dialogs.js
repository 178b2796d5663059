// Dialogs over the planes, banners above them, and the list of keys. One dialog at a time; Escape closes it.

import { fill, h, say } from "./dom.js";
import { COMMANDS } from "./keys.js";

export class Dialogs {
  constructor(app) {
    this.app = app;
    this.box = h("div", { class: "mu-dialog", role: "dialog", "aria-modal": "true", hidden: true });
    this.banners = h("div", { class: "mu-banners", role: "alert" });
    this.element = h("div", { class: "mu-over" }, this.banners, this.box);
    this.enter = null;
  }

  get isOpen() {
    return !this.box.hidden;
  }

  /** Show a dialog; buttons are [text, action]; enter is what the Enter key does. */
  open(title, content, buttons, { enter = null, wide = false } = {}) {
    const heading = h("h2", {}, title);
    this.note = h("p", { class: "mu-warn", role: "alert" });
    const row = h("div", { class: "mu-buttons" }, buttons.map(([text, action], n) => h("button", { type: "button", class: n === 0 ? "mu-first" : "", onclick: action }, text)));
    fill(this.box, heading, ...content, this.note, row);
    this.box.setAttribute("aria-label", title);
    this.box.classList.toggle("mu-wide", wide);
    this.box.hidden = false;
    this.enter = enter;
    row.querySelector("button")?.focus();
  }

  warn(text) {
    say(this.note, text);
  }

  close() {
    this.box.hidden = true;
    this.enter = null;
    this.app.root.focus({ preventScroll: true });
  }

  /** Take a key while a dialog is open; true where it must go no further. */
  key(event) {
    if (!this.isOpen) return false;
    if (event.key === "Escape") this.close();
    else if (event.key === "Enter" && this.enter !== null && event.target.tagName !== "TEXTAREA") {
      event.preventDefault();
      this.enter();
    } else if (event.key === "?" && event.target.tagName !== "TEXTAREA") this.close();
    return true;
  }

  banner(name, text, actions) {
    this.dropBanner(name);
    const drop = () => this.dropBanner(name);
    const buttons = [...actions, ["Close", () => {}]].map(([words, action]) =>
      h("button", { type: "button", onclick: () => {
        drop();
        action();
      } }, words));
    this.banners.append(h("div", { class: "mu-banner", "data-name": name }, h("span", {}, text), buttons));
  }

  dropBanner(name) {
    this.banners.querySelector(`[data-name="${name}"]`)?.remove();
  }

  comment() {
    const { app } = this;
    const voxel = app.cursor.slice(0, 3);
    const text = h("textarea", { rows: "3", "aria-label": "Comment" });
    const pin = h("input", { type: "checkbox", checked: true });
    const send = async () => {
      if (text.value.trim() === "") return this.warn("Write something first.");
      const body = { text: text.value.trim(), voxel: pin.checked ? voxel.slice(0, app.info.dims) : null };
      try {
        await app.api.comment(body.text, body.voxel);
      } catch (error) {
        return this.warn(error.message);
      }
      app.comments = [...app.comments, { ...body, user: "you" }];
      this.close();
      app.panel.refresh();
      return app.touch("marks");
    };
    this.open("Comment", [text, h("label", { class: "mu-row" }, pin, ` pinned to voxel ${voxel.slice(0, app.info.dims).join(", ")}`)], [["Send", send], ["Cancel", () => this.close()]], { enter: send });
    text.focus();
  }

  help() {
    const groups = new Map();
    for (const command of COMMANDS) groups.set(command.group, [...(groups.get(command.group) ?? []), command]);
    const keys = (command) => command.keys.map((key) => h("kbd", {}, key));
    const tables = [...groups].map(([group, commands]) => h("section", {}, h("h3", {}, group), h("dl", {}, commands.map((command) => [h("dt", {}, keys(command)), h("dd", {}, command.words)]))));
    const mouse = h("section", {}, h("h3", {}, "Mouse"), h("dl", {}, [["wheel", "slices"], ["Ctrl + wheel", "zoom"], ["Shift + wheel", "brush size"], ["right drag", "window: across width, down level"], ["middle or Ctrl drag", "move the picture"], ["Alt + click", "take the label under the cursor"], ["1 to 9", "active label"]].map(([key, words]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)])));
    this.open("Keys", [h("div", { class: "mu-keys" }, tables, mouse)], [["Close", () => this.close()]], { wide: true });
  }
}
