// Small volumes with known contents.
export const axial = { n: 2, u: 0, v: 1, flipU: false, flipV: false };

export function empty(size, Type = Uint8Array) {
  return new Type(size[0] * size[1] * size[2]);
}

export function ball(size, centre, radius, value = 1, data = empty(size)) {
  for (let z = 0; z < size[2]; z += 1)
    for (let y = 0; y < size[1]; y += 1)
      for (let x = 0; x < size[0]; x += 1)
        if (Math.hypot(x - centre[0], y - centre[1], z - centre[2]) <= radius) data[x + size[0] * (y + size[1] * z)] = value;
  return data;
}

export function counts(data) {
  const found = {};
  for (const value of data) if (value !== 0) found[value] = (found[value] ?? 0) + 1;
  return found;
}

/** A fixed random sequence (mulberry32). */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
