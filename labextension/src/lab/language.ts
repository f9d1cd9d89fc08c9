/** The language of the plugin's own sentences: the kernel's, else that of the page. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Signal, type ISignal } from "@lumino/signaling";
import french from "../../../sspcloud_magics/locale/fr_FR/LC_MESSAGES/sspcloud_magics.json";
import { languageOf, type Language } from "../view/i18n";

/** The part of JupyterLab's translator that the plugin uses. */
export type Trans = Pick<TranslationBundle, "__" | "_n">;

/** The languages that the page knows of: the user's explicit choice, and the browser's first language. */
export interface PageLanguages {
  /** Empty without a choice. */
  readonly jupyterlab: string;
  readonly browser: string;
}

const FRENCH = french as unknown as Record<string, string[] | undefined>;

/**
 * The plugin's sentences. They are part of the plugin: JupyterLab's own translator needs a language pack, and does not know
 * the kernel's language.
 */
export class PluginTranslator implements Trans {
  private readonly changes = new Signal<this, Language>(this);
  private kernel: Language | null = null;

  constructor(private pageLanguages: PageLanguages) {}

  /** Emitted when the language changes. */
  get changed(): ISignal<this, Language> {
    return this.changes;
  }

  get page(): PageLanguages {
    return this.pageLanguages;
  }

  get language(): Language {
    return this.kernel ?? languageOf(this.page.jupyterlab || this.page.browser);
  }

  /** Follow the language of a kernel; null without one. */
  followKernel(language: string | null): void {
    this.change(() => (this.kernel = language === null ? null : languageOf(language)));
  }

  /** Set the user's explicit choice. */
  choose(jupyterlab: string): void {
    this.change(() => (this.pageLanguages = { ...this.pageLanguages, jupyterlab }));
  }

  readonly __ = (text: string, ...values: (string | number)[]): string =>
    fill(this.forms(text)?.[0] ?? text, values);

  readonly _n = (text: string, plural: string, count: number, ...values: (string | number)[]): string => {
    const forms = this.forms(text) ?? [text, plural];
    // French uses the singular for 0.
    const isSingular = this.language === "fr" ? count < 2 : count === 1;
    return fill(forms[isSingular ? 0 : 1] ?? plural, [count, ...values]);
  };

  private forms(text: string): string[] | undefined {
    return this.language === "fr" ? FRENCH[text] : undefined;
  }

  private change(apply: () => void): void {
    const before = this.language;
    apply();
    if (this.language !== before) this.changes.emit(this.language);
  }
}

function fill(text: string, values: (string | number)[]): string {
  return text.replace(/%(\d)/g, (whole, number: string) => String(values[Number(number) - 1] ?? whole));
}
