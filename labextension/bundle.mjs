/**
 * Bundle the widget's view into the one module and the one style sheet that anywidget loads, and the plugin into the
 * module that jupyter-builder wraps for JupyterLab. Print the size of the view, and fail if it is too large.
 */

import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

// Bytes of the view with gzip, script and styles together.
const LARGEST = 40_000;
const STATIC = "../sspcloud_magics/widgets/static";
const common = { bundle: true, format: "esm", target: "es2022", logLevel: "warning", charset: "utf8" };

await build({
  ...common,
  entryPoints: [
    { in: "src/view/index.ts", out: "panel" },
    { in: "style/view/index.css", out: "panel" },
  ],
  outdir: STATIC,
  minify: true,
});
// Modules that are imported at first use get their own files.
mkdirSync("lib", { recursive: true });
for (const old of readdirSync("lib").filter((name) => name.endsWith(".js"))) rmSync(`lib/${old}`);
await build({
  ...common,
  entryPoints: ["src/lab/index.ts"],
  outdir: "lib",
  packages: "external",
  splitting: true,
});

const size = ["panel.js", "panel.css"]
  .map((name) => gzipSync(readFileSync(`${STATIC}/${name}`)).length)
  .reduce((sum, each) => sum + each);
console.log(`The panel's view: ${(size / 1000).toFixed(1)} kB gzip of at most ${LARGEST / 1000} kB`);
if (size > LARGEST) process.exit(1);
