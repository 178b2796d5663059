// What each command of keys.js does; buttons call the same functions.

const LAYOUT_OF = { planes: "single", single: "planes", compare: "planes", depth: "planes" };

export function commands(app) {
  const toggle = (name, redraw) => {
    app[name] = !app[name];
    app.toolbar.refresh();
    redraw();
  };
  const labels = (change) => () => {
    change(app.labels);
    app.refreshLabels();
    app.toolbar.refresh();
  };
  const withView = (operate) => () => app.activeView() !== null && operate(app.activeView());
  const tool = (name) => () => app.setTool(name);
  const opacity = (step) => () => {
    app.opacity = Math.min(1, Math.max(0.05, app.opacity + step));
    app.refreshLabels();
  };
  const scroll = (steps) => withView((view) => {
    app.moved = true;
    app.scroll(view.plane, steps);
  });
  const preset = (n) => {
    const { presets } = app.info.window;
    app.preset = n % Math.max(1, presets.length);
    const { name, low, high } = presets[app.preset] ?? { name: "first", low: app.info.window.default[0], high: app.info.window.default[1] };
    app.setWindow(low, high);
    app.announce(`Window ${name}.`);
  };
  return {
    accept: () => app.deciding.ask("accepted"),
    reject: () => app.deciding.ask("rejected"),
    needs_edit: () => app.deciding.ask("needs_edit"),
    next: () => app.deciding.go("next"),
    previous: () => app.deciding.go("previous"),
    comment: () => app.dialogs.comment(),
    sliceUp: scroll(1),
    sliceDown: scroll(-1),
    jumpUp: scroll(10),
    jumpDown: scroll(-10),
    labelNext: () => {
      const box = app.counts.boxes.get(app.labels.active);
      if (box === undefined) app.announce(`${app.labels.nameOf(app.labels.active)} is nowhere yet.`);
      else app.moveTo(box.low.map((value, axis) => (value + box.high[axis]) / 2));
    },
    preset: () => preset(app.preset + 1),
    usePreset: preset,
    resetWindow: () => app.setWindow(...app.info.window.default),
    invert: () => app.setWindow(app.window[1], app.window[0]),
    smooth: () => toggle("smooth", () => app.touch("marks")),
    sides: () => {
      app.setSides(!app.radiological);
      app.announce(app.radiological ? "Radiological: the patient's left is on the right." : "Neurological: the patient's left is on the left.");
    },
    channel: () => {
      app.channel = (app.channel + 1) % app.info.channels;
      app.announce(`Channel ${app.channel + 1} of ${app.info.channels}.`);
      app.touch("picture");
    },
    resetZoom: () => app.resetCameras(),
    full: () => (document.fullscreenElement ? document.exitFullscreen() : app.root.requestFullscreen?.()),
    layout: () => app.arrange(LAYOUT_OF[app.layout]),
    plane: () => {
      const at = app.planes.findIndex((each) => each.name === app.activePlane);
      app.activePlane = app.planes[(at + 1) % app.planes.length].name;
      app.arrange(app.layout);
    },
    compare: () => app.saving.compare(),
    depth: () => app.info.dims === 3 && app.arrange(app.layout === "depth" ? "planes" : "depth"),
    difference: () => app.saving.nextDifference(),
    hide: labels((each) => (each.hidden = !each.hidden)),
    outline: () => {
      app.style = { both: "outline", outline: "fill", fill: "both" }[app.style];
      app.refreshLabels();
      app.toolbar.refresh();
    },
    fainter: opacity(-0.1),
    stronger: opacity(0.1),
    heat: () => {
      if (app.uncertainty === null) app.announce("This case has no map of uncertainty.");
      else toggle("heatShown", () => app.touch("heat"));
    },
    solo: labels((each) => (each.solo = !each.solo)),
    lock: labels((each) => {
      const entry = each.entry(each.active);
      if (entry !== null) entry.locked = !entry.locked;
    }),
    palette: labels((each) => (each.blindSafe = !each.blindSafe)),
    pick: () => app.editing.pick(app.input.voxel()),
    instance: () => app.labels.instances && app.editing.newInstance(),
    label: (number) => {
      const entry = app.labels.entries[number - 1];
      if (entry !== undefined) app.choose(entry.value);
    },
    navigate: tool("navigate"),
    brush: tool("brush"),
    eraser: tool("eraser"),
    bucket: tool("bucket"),
    ball: () => {
      app.editing.ball = !app.editing.ball;
      app.announce(app.editing.ball ? "3D brush and fill." : "2D brush and fill.");
      app.toolbar.refresh();
    },
    range: () => app.toolbar.toggleRange(),
    smaller: () => {
      app.editing.resize(-1);
      app.toolbar.refresh();
      app.input.hideRing();
    },
    larger: () => {
      app.editing.resize(1);
      app.toolbar.refresh();
      app.input.hideRing();
    },
    interpolate: withView((view) => app.editing.interpolate(view)),
    holes: withView((view) => app.editing.holes(view, false)),
    holesAll: withView((view) => app.editing.holes(view, true)),
    largest: () => app.editing.largest(),
    ruler: tool("ruler"),
    angle: tool("angle"),
    undo: () => app.editing.undo(),
    redo: () => app.editing.redo(),
    save: () => app.saving.save(),
    help: () => app.dialogs.help(),
    escape: () => {
      app.measures = app.tool === "navigate" ? [] : app.measures;
      app.setTool("navigate");
    },
  };
}
