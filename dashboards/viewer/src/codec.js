// The stroke format: "MUS1", then varints: the place in the journal, length and bytes of the tool's name, number of runs, and for each run the gap
// since the last run's end, its length, the label before and the label after. Gzipped for the journal.

import { Growing } from "./runs.js";

const MAGIC = [0x4d, 0x55, 0x53, 0x31];

function putVarint(out, value) {
  let rest = value;
  while (rest >= 128) {
    out.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
}

/** The bytes of a change; seq is its place in the journal. */
export function encode(change, seq = 0) {
  const out = new Growing(256, Uint8Array);
  MAGIC.forEach((byte) => out.push(byte));
  putVarint(out, seq);
  const name = new TextEncoder().encode(change.tool);
  putVarint(out, name.length);
  name.forEach((byte) => out.push(byte));
  putVarint(out, change.starts.length);
  let end = 0;
  for (let run = 0; run < change.starts.length; run += 1) {
    putVarint(out, change.starts[run] - end);
    putVarint(out, change.lengths[run]);
    putVarint(out, change.before[run]);
    putVarint(out, change.after[run]);
    end = change.starts[run] + change.lengths[run];
  }
  return out.done();
}

/** The change of bytes, with its seq; voxels beyond `limit` and damaged bytes are refused. */
export function decode(bytes, limit = Infinity) {
  if (MAGIC.some((byte, n) => bytes[n] !== byte)) throw new Error("This is no stroke: it does not begin with MUS1.");
  let at = MAGIC.length;
  const varint = () => {
    let value = 0;
    let scale = 1;
    for (;;) {
      if (at >= bytes.length) throw new Error(`The stroke is cut off after ${bytes.length} bytes.`);
      const byte = bytes[at];
      at += 1;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  };
  const seq = varint();
  const length = varint();
  const tool = new TextDecoder().decode(bytes.subarray(at, at + length));
  at += length;
  const count = varint();
  if (count > bytes.length) throw new Error(`The stroke names ${count} runs in ${bytes.length} bytes.`);
  const change = { seq, tool, voxels: 0, starts: new Uint32Array(count), lengths: new Uint32Array(count), before: new Uint16Array(count), after: new Uint16Array(count) };
  let end = 0;
  for (let run = 0; run < count; run += 1) {
    change.starts[run] = end + varint();
    change.lengths[run] = varint();
    change.before[run] = varint();
    change.after[run] = varint();
    end = change.starts[run] + change.lengths[run];
    change.voxels += change.lengths[run];
    if (end > limit) throw new Error(`The stroke reaches voxel ${end} of ${limit}.`);
  }
  return change;
}

const CHUNK = 1 << 20;

/** A gzip stream of a typed array, fed in pieces so that no second copy of it is made. */
export function gzipStream(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let at = 0;
  const source = new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) controller.close();
      else controller.enqueue(bytes.subarray(at, Math.min(bytes.length, (at += CHUNK))));
    },
  });
  return source.pipeThrough(new CompressionStream("gzip"));
}

export const gzip = (array) => new Response(gzipStream(array)).blob();

/** The bytes of a gzip. */
export async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
