/// <reference types="vite/client" />
import { expect, test } from "vitest";
import { languageOf, languages, translate } from "../src/view/i18n";

test("both languages have the same keys and placeholders", () => {
  const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  expect(Object.keys(languages.fr).sort()).toEqual(Object.keys(languages.en).sort());
  for (const [key, english] of Object.entries(languages.en)) {
    const french = translate("fr", key);
    expect(english.trim(), key).not.toBe("");
    expect(french.trim(), key).not.toBe("");
    expect(places(french), key).toEqual(places(english));
  }
});

test("values are put into a sentence once", () => {
  expect(translate("en", "forwardPort", { port: 80, name: "{port}" })).toBe("Forward port 80 of {port}");
  expect(translate("en", "forwardPort", { port: 80 })).toBe("Forward port 80 of {name}");
});

test("an unknown value of the kernel is shown unchanged", () => {
  expect(translate("fr", "state.running")).toBe("en marche");
  expect(translate("fr", "state.Evicted")).toBe("Evicted");
});

test("French punctuation follows a no-break space", () => {
  expect(translate("fr", "revokeSure", { colleague: "bob", name: "x" })).toContain("bob\u00a0?");
});

test.each([
  ["fr", "fr"],
  ["fr-FR", "fr"],
  ["fr_CA", "fr"],
  ["FR", "fr"],
  ["en", "en"],
  ["de-DE", "en"],
  ["", "en"],
])("the language tag %s selects %s", (name, language) => {
  expect(languageOf(name)).toBe(language);
});

test("every key is used", () => {
  const sources = import.meta.glob(["../src/view/**/*.ts", "!../src/view/i18n/*.ts"], {
    query: "?raw",
    import: "default",
    eager: true,
  });
  const text = Object.values(sources).join("\n");
  const families = [...text.matchAll(/`(\w+)\.\$\{/g)].map(([, family]) => `${family ?? ""}.`);
  // The name of a section is the key of its heading, and so are the headings of a table.
  const unused = Object.keys(languages.en).filter(
    (key) =>
      !text.includes(`"${key}"`) &&
      !families.some((family) => key.startsWith(family)) &&
      !key.startsWith("unit."),
  );
  expect(unused).toEqual([]);
});
