import { en, type MessageKey } from "./en";
import { fr } from "./fr";

export { errorsInFrench } from "./errors";
export type { MessageKey } from "./en";

export const languages = { en, fr };
export type Language = keyof typeof languages;
export type Values = Record<string, unknown>;

/** The panel's language for the name of any: `fr`, `fr-FR` and `fr_CA` are French, the rest English. */
export function languageOf(name: string): Language {
  return name.toLowerCase().startsWith("fr") ? "fr" : "en";
}

export function isMessageKey(key: string): key is MessageKey {
  return key in en;
}

/**
 * The sentence for a key, with its `{values}`.
 *
 * A key with a dot (`state.running`) names a value of the kernel's; one that is not known is shown as it came.
 */
export function translate(language: Language, key: string, values: Values = {}): string {
  const text = isMessageKey(key) ? languages[language][key] : key.slice(key.indexOf(".") + 1);
  return spaced(language, text).replace(/\{(\w+)\}/g, (whole, name: string) =>
    name in values ? String(values[name]) : whole,
  );
}

/** French sets a blank that does not break before its high signs. */
function spaced(language: Language, text: string): string {
  return language === "fr" ? text.replace(/ ([?!:;»])/g, "\u00a0$1").replace(/« /g, "«\u00a0") : text;
}
