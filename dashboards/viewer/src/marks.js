// What is drawn over a plane: crosshair, rulers and angles, pinned comments, letters, scale bar and numbers.

import { angleDegrees, lengthMm } from "./measure.js";

const COLOURS = { axial: "#ff6b6b", sagittal: "#ffd166", coronal: "#4cc9f0", picture: "#9aa5b1" };
const FONT = '"Inter", "Segoe UI", "DejaVu Sans", system-ui, sans-serif';
const NICE = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200];

/** Length in mm of a scale bar: the largest round one within a quarter of the width. */
export const barLength = (widthMm) => NICE.filter((length) => length <= widthMm / 4).at(-1) ?? NICE[0];

/** Text with a dark edge, readable on any picture. */
function write(context, text, x, y, { align = "left", base = "top", colour = "#e8edf2" } = {}) {
  context.textAlign = align;
  context.textBaseline = base;
  context.strokeStyle = "rgba(0, 0, 0, 0.85)";
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

function crosshair(view) {
  const { app, context, canvas, plane, ratio } = view;
  if (!app.crosshair || plane.name === "picture") return;
  const [x, y] = view.pointOf(app.cursor);
  const gap = 14 * ratio;
  const named = (axis) => app.planes.find((each) => each.n === axis)?.name;
  const line = (colour, ...pieces) => {
    context.strokeStyle = colour;
    context.globalAlpha = 0.55;
    context.lineWidth = ratio;
    context.beginPath();
    for (const [x0, y0, x1, y1] of pieces) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
    context.globalAlpha = 1;
  };
  const [px, py] = [Math.round(x) + 0.5, Math.round(y) + 0.5];
  line(COLOURS[named(plane.u)], [px, 0, px, py - gap], [px, py + gap, px, canvas.height]);
  line(COLOURS[named(plane.v)], [0, py, px - gap, py], [px + gap, py, canvas.width, py]);
}

function measures(view) {
  const { app, context, plane, ratio } = view;
  const here = [...app.measures, ...(app.measuring ? [app.measuring] : [])];
  for (const { kind, points, plane: name, slice } of here) {
    if (name !== plane.name || slice !== view.slice) continue;
    const places = points.map((voxel) => view.pointOf(voxel));
    context.strokeStyle = "#ffe08a";
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    places.forEach(([x, y], n) => (n === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
    context.stroke();
    for (const [x, y] of places) context.strokeRect(x - 2.5 * ratio, y - 2.5 * ratio, 5 * ratio, 5 * ratio);
    const [x, y] = places.at(-1);
    const done = kind === "ruler" ? points.length === 2 : points.length === 3;
    if (!done) continue;
    const unit = app.info.dims === 2 && app.spacing[0] === 1 && app.spacing[1] === 1 ? "px" : "mm";
    const text = kind === "ruler" ? `${lengthMm(app.affine, ...points).toFixed(1)} ${unit}` : `${angleDegrees(app.affine, ...points).toFixed(1)}°`;
    context.font = `600 ${13 * ratio}px ${FONT}`;
    context.lineWidth = 3 * ratio;
    write(context, text, x + 8 * ratio, y, { base: "middle", colour: "#ffe08a" });
  }
}

function pins(view) {
  const { app, context, plane, ratio } = view;
  for (const { voxel } of app.comments) {
    if (!voxel || (plane.name !== "picture" && voxel[plane.n] !== view.slice)) continue;
    const [x, y] = view.pointOf(voxel.length === 3 ? voxel : [...voxel, 0]);
    context.fillStyle = "#ffb84d";
    context.beginPath();
    context.arc(x, y, 4 * ratio, 0, 2 * Math.PI);
    context.fill();
    context.strokeStyle = "#000";
    context.lineWidth = ratio;
    context.stroke();
  }
}

export function drawMarks(view) {
  crosshair(view);
  measures(view);
  pins(view);
}

export function drawTexts(view, loaded) {
  const { app, context, canvas, plane, ratio } = view;
  const [width, height, edge] = [canvas.width, canvas.height, 8 * ratio];
  context.lineJoin = "round";
  context.lineWidth = 3 * ratio;
  context.font = `${12 * ratio}px ${FONT}`;
  const flat = plane.name === "picture";
  const count = flat ? "" : `  ${view.slice + 1} / ${app.size[plane.n]}`;
  write(context, `${plane.title}${count}`, edge, edge, { colour: flat ? undefined : COLOURS[plane.name] });
  if (view.note) write(context, view.note, edge, edge + 17 * ratio, { colour: "#e8edf2" });
  else if (app.oblique && !flat) write(context, "oblique: letters show the nearest axes", edge, edge + 17 * ratio, { colour: "#ffb84d" });
  if (!loaded) write(context, "loading …", width / 2, height / 2 + 24 * ratio, { align: "center" });
  if (plane.letters) {
    const { left, right, top, bottom } = plane.letters;
    context.font = `600 ${15 * ratio}px ${FONT}`;
    write(context, left, edge, height / 2, { base: "middle" });
    write(context, right, width - edge, height / 2, { align: "right", base: "middle" });
    write(context, top, width / 2, edge, { align: "center" });
    write(context, bottom, width / 2, height - edge, { align: "center", base: "bottom" });
  }
  scaleBar(view);
}

function scaleBar(view) {
  const { app, context, canvas, ratio } = view;
  const length = barLength(canvas.width / view.scale);
  const pixels = length * view.scale;
  const [right, bottom] = [canvas.width - 10 * ratio, canvas.height - 12 * ratio];
  const unit = app.info.dims === 2 && app.spacing[0] === 1 && app.spacing[1] === 1 ? "px" : "mm";
  context.fillStyle = "#000";
  context.fillRect(right - pixels - ratio, bottom - ratio, pixels + 2 * ratio, 4 * ratio);
  context.fillStyle = "#e8edf2";
  context.fillRect(right - pixels, bottom, pixels, 2 * ratio);
  context.font = `${11 * ratio}px ${FONT}`;
  context.lineWidth = 3 * ratio;
  write(context, `${length} ${unit}`, right, bottom - 4 * ratio, { align: "right", base: "bottom" });
}
