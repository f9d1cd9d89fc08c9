import { en, type MessageKey } from "./en";
import { fr } from "./fr";

export type { MessageKey } from "./en";

export const languages = { en, fr };
export type Language = keyof typeof languages;
export type Values = Record<string, unknown>;

/** Return the panel's language for a language tag: `fr`, `fr-FR` and `fr_CA` are French, the rest English. */
export function languageOf(name: string): Language {
  return name.toLowerCase().startsWith("fr") ? "fr" : "en";
}

export function isMessageKey(key: string): key is MessageKey {
  return key in en;
}

/**
 * Return the sentence for a key, with its `{values}`.
 *
 * A key with a dot (`state.running`) names a value of the kernel; an unknown value is shown unchanged.
 */
export function translate(language: Language, key: string, values: Values = {}): string {
  const text = isMessageKey(key) ? languages[language][key] : key.slice(key.indexOf(".") + 1);
  return setFrenchSpaces(language, text).replace(/\{(\w+)\}/g, (whole, name: string) =>
    name in values ? String(values[name]) : whole,
  );
}

/** Use no-break spaces before French punctuation and inside its quotation marks. */
function setFrenchSpaces(language: Language, text: string): string {
  return language === "fr" ? text.replace(/ ([?!:;»])/g, "\u00a0$1").replace(/« /g, "«\u00a0") : text;
}
