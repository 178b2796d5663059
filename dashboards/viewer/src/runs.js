// A mask kept small: the runs of equal labels of each row (y, z). The model's mask, the saved one and an earlier
// version are kept so; 512 x 512 x 300 takes a few hundred kilobytes instead of 79 MB.

import { emptyBox, include, planeShape } from "./volume.js";

/** A growing Uint32Array. */
export class Growing {
  constructor(capacity = 1024, Type = Uint32Array) {
    this.Type = Type;
    this.data = new Type(capacity);
    this.length = 0;
  }

  push(value) {
    if (this.length === this.data.length) {
      const larger = new this.Type(this.length * 2);
      larger.set(this.data);
      this.data = larger;
    }
    this.data[this.length] = value;
    this.length += 1;
  }

  done() {
    return this.data.slice(0, this.length);
  }
}

export class RunMask {
  constructor(size, rowStart, starts, ends, values) {
    Object.assign(this, { size, rowStart, starts, ends, values });
  }

  /** The runs of a dense mask. */
  static of(data, size) {
    const [nx, ny, nz] = size;
    const rows = ny * nz;
    const rowStart = new Uint32Array(rows + 1);
    const starts = new Growing();
    const ends = new Growing();
    const values = new Growing(1024, Uint16Array);
    for (let row = 0; row < rows; row += 1) {
      rowStart[row] = starts.length;
      const first = row * nx;
      const last = first + nx;
      let n = first;
      while (n < last) {
        const value = data[n];
        if (value === 0) {
          n += 1;
          continue;
        }
        const from = n;
        n += 1;
        while (n < last && data[n] === value) n += 1;
        starts.push(from - first);
        ends.push(n - first);
        values.push(value);
      }
    }
    rowStart[rows] = starts.length;
    return new RunMask(size, rowStart, starts.done(), ends.done(), values.done());
  }

  static empty(size) {
    return new RunMask(size, new Uint32Array(size[1] * size[2] + 1), new Uint32Array(0), new Uint32Array(0), new Uint16Array(0));
  }

  /** The label of a voxel; row = y + ny * z. */
  inRow(row, x) {
    let low = this.rowStart[row];
    let high = this.rowStart[row + 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ends[middle] <= x) low = middle + 1;
      else high = middle;
    }
    return low < this.rowStart[row + 1] && this.starts[low] <= x ? this.values[low] : 0;
  }

  at(x, y, z) {
    return this.inRow(y + this.size[1] * z, x);
  }

  /** Write a slice in screen order, as volume.extract does for dense masks. */
  plane(plane, slice, out) {
    const { size } = this;
    const [columns, rows] = planeShape(size, plane);
    out.fill(0);
    const place = (voxel) => {
      const column = plane.flipU ? columns - 1 - voxel[plane.u] : voxel[plane.u];
      const row = plane.flipV ? rows - 1 - voxel[plane.v] : voxel[plane.v];
      return row * columns + column;
    };
    const voxel = [0, 0, 0];
    voxel[plane.n] = slice;
    const ranges = size.map((count, axis) => (axis === plane.n ? [slice, slice + 1] : [0, count]));
    for (let z = ranges[2][0]; z < ranges[2][1]; z += 1) {
      for (let y = ranges[1][0]; y < ranges[1][1]; y += 1) {
        voxel[1] = y;
        voxel[2] = z;
        const row = y + size[1] * z;
        for (let run = this.rowStart[row]; run < this.rowStart[row + 1]; run += 1) {
          const from = Math.max(this.starts[run], ranges[0][0]);
          const to = Math.min(this.ends[run], ranges[0][1]);
          for (let x = from; x < to; x += 1) {
            voxel[0] = x;
            out[place(voxel)] = this.values[run];
          }
        }
      }
    }
    return out;
  }

  /** Map label -> {count, box}. */
  stats() {
    const found = new Map();
    const ny = this.size[1];
    for (let row = 0; row + 1 < this.rowStart.length; row += 1) {
      for (let run = this.rowStart[row]; run < this.rowStart[row + 1]; run += 1) {
        const label = this.values[run];
        if (!found.has(label)) found.set(label, { count: 0, box: emptyBox() });
        const entry = found.get(label);
        entry.count += this.ends[run] - this.starts[run];
        include(entry.box, this.starts[run], row % ny, Math.floor(row / ny));
        include(entry.box, this.ends[run] - 1, row % ny, Math.floor(row / ny));
      }
    }
    return found;
  }

  /** Write a label's voxels of a box as ones into a dense crop, x fastest. */
  crop(label, box) {
    const shape = box.high.map((value, axis) => value - box.low[axis] + 1);
    const out = new Uint8Array(shape[0] * shape[1] * shape[2]);
    for (let z = box.low[2]; z <= box.high[2]; z += 1) {
      for (let y = box.low[1]; y <= box.high[1]; y += 1) {
        const row = y + this.size[1] * z;
        const target = shape[0] * (y - box.low[1] + shape[1] * (z - box.low[2])) - box.low[0];
        for (let run = this.rowStart[row]; run < this.rowStart[row + 1]; run += 1) {
          if (this.values[run] !== label) continue;
          const from = Math.max(this.starts[run], box.low[0]);
          const to = Math.min(this.ends[run], box.high[0] + 1);
          if (from < to) out.fill(1, target + from, target + to);
        }
      }
    }
    return { data: out, shape };
  }
}
