// Bundle the viewer into dist/: index-HASH.js, worker-HASH.js and index-HASH.css. What is there is replaced.

import { readdirSync, rmSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));
const out = `${root}dist`;
for (const file of readdirSync(out)) rmSync(`${out}/${file}`);
const shared = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  entryNames: "[name]-[hash]",
  outdir: "dist",
  metafile: true,
  legalComments: "none",
};
const made = ({ metafile }) => Object.keys(metafile.outputs).map((file) => basename(file));
const [worker] = made(await build({ ...shared, entryPoints: ["src/worker.js"] }));
const define = { WORKER_FILE: JSON.stringify(`./${worker}`) };
const main = made(await build({ ...shared, entryPoints: [{ in: "src/index.js", out: "index" }, { in: "style.css", out: "index" }], define }));
console.log([worker, ...main].join("\n"));
