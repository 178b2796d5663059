// One table of commands and keys: the handler, the tooltips and the help page (?) all read it.

export const COMMANDS = [
  ["Decide", "accept", ["a"], "accept the mask (Enter confirms)"],
  ["Decide", "reject", ["r"], "reject the mask, with a reason"],
  ["Decide", "needs_edit", ["Shift+e"], "send it back: needs an edit"],
  ["Decide", "next", ["."], "next case of the list"],
  ["Decide", "previous", [","], "previous case of the list"],
  ["Decide", "comment", ["Shift+c"], "comment on the voxel at the crosshair"],
  ["Look", "sliceUp", ["ArrowUp", "PageUp"], "next slice"],
  ["Look", "sliceDown", ["ArrowDown", "PageDown"], "previous slice"],
  ["Look", "jumpUp", ["Shift+ArrowUp"], "ten slices on"],
  ["Look", "jumpDown", ["Shift+ArrowDown"], "ten slices back"],
  ["Look", "labelNext", ["Shift+n"], "go to the middle of the active label"],
  ["Look", "preset", ["w"], "next window preset"],
  ["Look", "resetWindow", ["Shift+w"], "window as it was at first"],
  ["Look", "invert", ["q"], "invert grey"],
  ["Look", "smooth", ["Shift+i"], "smooth or plain voxels"],
  ["Look", "sides", ["j"], "radiological or neurological sides"],
  ["Look", "channel", ["Shift+k"], "next channel"],
  ["Look", "resetZoom", ["Home"], "zoom and centre as at first"],
  ["Look", "full", ["f"], "full screen"],
  ["Layout", "layout", ["v"], "three planes, or the active plane alone"],
  ["Layout", "plane", ["Shift+p"], "next plane active"],
  ["Layout", "compare", ["c"], "model, mine and previous side by side"],
  ["Layout", "depth", ["y"], "3D view"],
  ["Layout", "difference", ["x"], "show what differs from the model or an earlier version"],
  ["Labels", "hide", ["h"], "hide or show all labels"],
  ["Labels", "outline", ["l"], "outline or filled"],
  ["Labels", "fainter", ["-"], "labels fainter"],
  ["Labels", "stronger", ["=", "+"], "labels stronger"],
  ["Labels", "heat", ["u"], "uncertainty as heat"],
  ["Labels", "solo", ["Shift+s"], "only the active label"],
  ["Labels", "lock", ["Shift+l"], "lock the active label"],
  ["Labels", "palette", ["Shift+b"], "colours for the colour-blind"],
  ["Labels", "pick", ["p"], "take the label under the cursor"],
  ["Labels", "instance", ["Shift+a"], "a new instance"],
  ["Edit", "navigate", ["n"], "crosshair"],
  ["Edit", "brush", ["b"], "brush"],
  ["Edit", "eraser", ["e"], "eraser (or hold Shift while painting)"],
  ["Edit", "bucket", ["g"], "fill a region (with range: grow it)"],
  ["Edit", "ball", ["d"], "2D or 3D brush and fill"],
  ["Edit", "range", ["t"], "paint only values in a range"],
  ["Edit", "smaller", ["["], "smaller brush"],
  ["Edit", "larger", ["]"], "larger brush"],
  ["Edit", "interpolate", ["i"], "fill between outlined slices"],
  ["Edit", "holes", ["o"], "fill holes of the active label in this slice"],
  ["Edit", "holesAll", ["Shift+o"], "fill holes of the active label everywhere"],
  ["Edit", "largest", ["k"], "keep the largest part of the active label"],
  ["Edit", "ruler", ["m"], "ruler"],
  ["Edit", "angle", ["Shift+m"], "angle"],
  ["Edit", "undo", ["z", "Ctrl+z"], "undo"],
  ["Edit", "redo", ["Shift+z", "Ctrl+y", "Ctrl+Shift+z"], "redo"],
  ["Edit", "save", ["s", "Ctrl+s"], "save a version"],
  ["Help", "help", ["?"], "this list"],
  ["Help", "escape", ["Escape"], "close, or back to the crosshair"],
].map(([group, id, keys, words]) => ({ group, id, keys, words }));

/** The name of a key event, such as 'Ctrl+z', 'Shift+n', '?' or '3'. */
export function nameOf(event) {
  const letter = /^[a-z]$/i.test(event.key);
  const key = letter ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (letter || key.length > 1);
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift ? "Shift+" : ""}${key}`;
}

const BY_KEY = new Map(COMMANDS.flatMap((command) => command.keys.map((key) => [key, command.id])));

/** The command of a key event, {id, argument}, or null. */
export function commandOf(event) {
  const name = nameOf(event);
  if (/^[1-9]$/.test(name)) return { id: "label", argument: Number(name) };
  const id = BY_KEY.get(name);
  return id === undefined ? null : { id, argument: null };
}

/** The words and keys of a command, for tooltips. */
export function hintOf(id) {
  const command = COMMANDS.find((each) => each.id === id);
  return command === undefined ? "" : `${command.words} (${command.keys[0]})`;
}
