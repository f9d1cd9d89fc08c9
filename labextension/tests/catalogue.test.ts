/// <reference types="vite/client" />
import { expect, test } from "vitest";
import french from "../../sspcloud_magics/locale/fr_FR/LC_MESSAGES/sspcloud_magics.json";
import schema from "../schema/plugin.json";

const sources = Object.values(
  import.meta.glob<string>("../src/lab/**/*.ts", { query: "?raw", import: "default", eager: true }),
);
const catalogue = french as unknown as Record<string, string[]>;

/** Every sentence that the plugin passes to the translator, with its number of plural forms. */
function* sentences(): Generator<[string, number]> {
  for (const source of sources) {
    for (const [, text] of source.matchAll(/trans\s*\.__\(\s*"([^"]+)"/g)) yield [text ?? "", 1];
    for (const [, text] of source.matchAll(/trans\s*\._n\(\s*"([^"]+)"/g)) yield [text ?? "", 2];
  }
  for (const text of JSON.stringify(schema).matchAll(/"(?:title|description)":"([^"]+)"/g)) {
    yield [text[1] ?? "", 1];
  }
}

test("the French catalogue has exactly the sentences of the plugin", () => {
  const said = new Map(sentences());
  expect(said.size).toBeGreaterThan(40);
  const known = Object.keys(catalogue).filter(Boolean);
  expect(known.sort()).toEqual([...said.keys()].sort());
  for (const [text, forms] of said) {
    const french = catalogue[text] ?? [];
    expect(french, text).toHaveLength(forms);
    for (const each of french) {
      expect(each.trim(), text).not.toBe("");
      expect(each.includes("%1"), text).toBe(text.includes("%1"));
    }
  }
});
