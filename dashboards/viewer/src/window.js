// Window and level: stored values to grey, by a table for integers and directly for float32.

const OPAQUE = 0xff000000;
const grey = (level) => (OPAQUE | (level << 16) | (level << 8) | level) >>> 0;

/** Grey level 0..255 of a value in the window [low, high]; low > high inverts. */
export function levelOf(value, low, high) {
  if (high === low) return value > low ? 255 : 0;
  const level = Math.round(((value - low) / (high - low)) * 255);
  return level <= 0 ? 0 : level > 255 ? 255 : level;
}

/** Table of 65,536 RGBA words: entry `stored & 0xffff` is the grey of slope * stored + intercept. */
export function windowTable(table, { dtype, slope = 1, intercept = 0, low, high }) {
  const first = dtype === "int16" ? -32768 : 0;
  const scale = high === low ? 0 : 255 / (high - low);
  for (let n = 0; n < 65536; n += 1) {
    const stored = first + n;
    const value = slope * stored + intercept;
    let level = scale === 0 ? (value > low ? 255 : 0) : Math.round((value - low) * scale);
    level = level < 0 ? 0 : level > 255 ? 255 : level;
    table[stored & 0xffff] = grey(level);
  }
  return table;
}

/** Fill RGBA words of a plane of integers through a table. */
export function paintTable(plane, table, words) {
  for (let n = 0; n < plane.length; n += 1) words[n] = table[plane[n] & 0xffff];
}

/** Fill RGBA words of a plane of floats. */
export function paintFloat(plane, { slope = 1, intercept = 0, low, high }, words) {
  const scale = high === low ? 0 : 255 / (high - low);
  for (let n = 0; n < plane.length; n += 1) {
    const value = slope * plane[n] + intercept;
    let level = scale === 0 ? (value > low ? 255 : 0) : Math.round((value - low) * scale);
    level = level < 0 ? 0 : level > 255 ? 255 : level;
    words[n] = grey(level);
  }
}

/** Fill RGBA words of a colour picture from its three planes, each through the same window. */
export function paintColour(planes, table, words) {
  const [red, green, blue] = planes;
  for (let n = 0; n < words.length; n += 1) {
    const r = table[red[n] & 0xffff] & 0xff;
    const g = table[green[n] & 0xffff] & 0xff;
    const b = table[blue[n] & 0xffff] & 0xff;
    words[n] = (OPAQUE | (b << 16) | (g << 8) | r) >>> 0;
  }
}

/** The window after a drag of dx, dy screen pixels: across widens, downwards darkens. */
export function dragged([low, high], dx, dy, span) {
  const step = span / 512;
  const sign = high < low ? -1 : 1;
  const width = Math.max(Math.abs(high - low) + dx * step, span / 4096);
  const centre = (low + high) / 2 + dy * step;
  return [centre - (sign * width) / 2, centre + (sign * width) / 2];
}
