/** Readable sizes, ages and dates. */

import { translate, type Language } from "./i18n";

const BYTES: Record<Language, string[]> = {
  en: ["B", "KiB", "MiB", "GiB", "TiB"],
  fr: ["o", "Kio", "Mio", "Gio", "Tio"],
};

const STEPS: [number, string][] = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "m"],
  [1, "s"],
];

/** Seconds since 1970 from which a date means "no end". */
const FOREVER = 2 ** 40;

/** An amount of bytes: `1.5 MiB`. */
export function size(bytes: number, language: Language): string {
  const units = BYTES[language];
  const unit = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const digits = unit ? 1 : 0;
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return `${(bytes / 1024 ** unit).toLocaleString(language, options)}\u00a0${units[unit] ?? ""}`;
}

/** The age between two times in seconds since 1970, such as `3h`; a unit is used from two of it. */
export function age(created: number | null, now: number, language: Language): string {
  if (created === null) return "";
  const seconds = Math.max(0, Math.floor(now) - created);
  const [length, unit] = STEPS.find(([long]) => seconds >= 2 * long) ?? [1, "s"];
  return `${String(Math.floor(seconds / length))}${translate(language, `unit.${unit}`)}`;
}

/** The remaining time in its two largest units: `6h 12m`. */
export function timeLeft(until: number, now: number, language: Language): string {
  let seconds = Math.max(0, Math.floor(until - now));
  const said: string[] = [];
  for (const [length, unit] of STEPS) {
    const count = Math.floor(seconds / length);
    seconds -= count * length;
    if (count || said.length) said.push(`${count}${translate(language, `unit.${unit}`)}`);
    if (said.length === 2) break;
  }
  return said.join(" ") || `0${translate(language, "unit.s")}`;
}

/** A number with three significant digits: `12,000`. */
export function count(number: number, language: Language): string {
  return number.toLocaleString(language, { maximumSignificantDigits: 3 });
}

/** A date and its time, from seconds since 1970. */
export function date(seconds: number, language: Language): string {
  if (seconds >= FOREVER) return translate(language, "forever");
  return new Date(seconds * 1000).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
}

/** A date without its time, for a narrow line. */
export function day(seconds: number, language: Language): string {
  if (seconds >= FOREVER) return translate(language, "forever");
  return new Date(seconds * 1000).toLocaleDateString(language, { day: "numeric", month: "short" });
}
