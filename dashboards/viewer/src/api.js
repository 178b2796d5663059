// The routes of the reading room. Only this file knows their addresses.

export class ApiError extends Error {
  constructor(status, body) {
    super(body.error ?? `the server answered ${status}`);
    this.status = status;
    this.body = body;
  }
}

async function checked(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ApiError(response.status, body);
}

const WRITE = { "X-Medunet": "1" };

export class Api {
  constructor(base, caseId) {
    this.base = base.replace(/\/$/, "");
    this.case = `${this.base}/cases/${caseId}`;
  }

  async #get(url) {
    return checked(await fetch(url, { credentials: "same-origin" }));
  }

  async #post(path, body, more = {}) {
    const headers = { ...WRITE, "Content-Type": "application/json" };
    const request = { method: "POST", credentials: "same-origin", headers, body: JSON.stringify(body), ...more };
    return (await checked(await fetch(`${this.case}/${path}`, request))).json();
  }

  async info() {
    return (await this.#get(this.case)).json();
  }

  async me() {
    return (await this.#get(`${this.base}/me`)).json();
  }

  /** A response whose body is the raw voxels; the browser has unpacked them. */
  voxels(url) {
    return this.#get(url);
  }

  /** The mask of a version: {response, rev, dtype, sha256}. */
  async mask(url, rev = null) {
    const response = await this.#get(rev === null ? url : `${url}?rev=${rev}`);
    const rev2 = Number(response.headers.get("X-Rev") ?? rev ?? 0);
    return { response, rev: rev2, dtype: response.headers.get("X-Dtype") ?? "uint8", sha256: (response.headers.get("ETag") ?? "").replaceAll('"', "") };
  }

  async putMask(url, body, { rev, token, dtype, tool, strokes }) {
    const headers = {
      ...WRITE,
      "Content-Type": "application/octet-stream",
      "Content-Encoding": "gzip",
      "If-Match": `"${rev}"`,
      "X-Lease": token,
      "X-Dtype": dtype,
      "X-Tool": tool,
      "X-Strokes": strokes, // how far the server may forget the journal; empty: not at all
    };
    return (await checked(await fetch(url, { method: "PUT", credentials: "same-origin", headers, body }))).json();
  }

  lease(action, token = null, keepalive = false) {
    return this.#post("lease", token === null ? { action } : { action, token }, { keepalive });
  }

  async postStroke(base, seq, body) {
    const headers = { ...WRITE, "Content-Type": "application/octet-stream" };
    const url = `${this.case}/strokes?base=${base}&seq=${seq}`;
    await checked(await fetch(url, { method: "POST", credentials: "same-origin", headers, body }));
  }

  /** The strokes that the server keeps on top of a version: a list of gzips. */
  async strokes(base) {
    const { strokes } = await (await this.#get(`${this.case}/strokes?base=${base}`)).json();
    return strokes.map((text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
  }

  decide(body) {
    return this.#post("decision", body);
  }

  comment(text, voxel) {
    return this.#post("comments", { text, voxel });
  }

  restore(rev, token, base) {
    return this.#post("restore", { rev, token, base });
  }
}
