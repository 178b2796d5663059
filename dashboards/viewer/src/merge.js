// Two readers saved on top of the same version: take both edits, and tell where they disagree.

/** Compare my mask with theirs, both made from base (runs). Collisions are voxels that both changed, unlike. */
export function compare(base, mine, theirs) {
  const found = { mine: 0, theirs: 0, collisions: 0 };
  walk(base, mine, theirs, (index, old, a, b) => {
    if (a === old) found.theirs += 1;
    else if (b === old) found.mine += 1;
    else found.collisions += 1;
  });
  return found;
}

/** Bring their edits into my mask; where both changed a voxel unlike, `prefer` decides: 'mine' or 'theirs'. */
export function merge(recorder, base, theirs, prefer) {
  walk(base, recorder.data, theirs, (index, old, a, b) => {
    if (a === old || prefer === "theirs") recorder.set(index, a === old || b !== old ? b : a);
  });
  return recorder.count;
}

/** Visit, in ascending order, the voxels in which mine and theirs differ. */
function walk(base, mine, theirs, visit) {
  const nx = base.size[0];
  for (let index = 0; index < mine.length; index += 1) {
    if (mine[index] === theirs[index]) continue;
    const row = Math.floor(index / nx);
    visit(index, base.inRow(row, index - row * nx), mine[index], theirs[index]);
  }
}

/** The change that turns a mask into another. */
export function replace(recorder, other) {
  for (let index = 0; index < other.length; index += 1) recorder.set(index, other[index]);
  return recorder.count;
}
