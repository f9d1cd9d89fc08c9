/// <reference types="vite/client" />
import { expect, test } from "vitest";

const sources = import.meta.glob<string>("../src/**/*.ts", { query: "?raw", import: "default", eager: true });

/** The files of ours that a file imports. */
function imported(file: string): string[] {
  const targets = [...(sources[file] ?? "").matchAll(/from "(\.[^"]+(?<!\.json))"/g)].map(
    ([, path]) => path ?? "",
  );
  return targets.map((path) => {
    const base = new URL(path, `file:///a/b/${file}`).pathname.replace("/a/", "../");
    return [`${base}.ts`, `${base}/index.ts`].find((each) => each in sources) ?? `missing ${base}`;
  });
}

test("no file imports itself, by any route", () => {
  const files = Object.keys(sources);
  expect(files.length).toBeGreaterThan(40);
  const done = new Set<string>();
  const visit = (file: string, route: string[]): void => {
    expect(route, "a circle").not.toContain(file);
    if (done.has(file)) return;
    for (const next of imported(file)) {
      expect(next).not.toContain("missing");
      visit(next, [...route, file]);
    }
    done.add(file);
  };
  for (const file of files) visit(file, []);
});
