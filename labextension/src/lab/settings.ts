import type { ISettingRegistry } from "@jupyterlab/settingregistry";
import type { Trans } from "./language";

/** The user's settings, as `schema/plugin.json` defines them. */
export interface Settings {
  readonly side: "left" | "right";
  readonly statusBar: boolean;
  readonly loadAutomatically: boolean;
  /** `en`, `fr`, or empty for the language of JupyterLab or the browser. */
  readonly language: string;
}

/** Return the settings, with the default for a malformed value. */
export function readSettings(settings: ISettingRegistry.ISettings | null): Settings {
  const value = (name: keyof Settings) => settings?.get(name).composite;
  return {
    side: value("side") === "left" ? "left" : "right",
    statusBar: value("statusBar") !== false,
    loadAutomatically: value("loadAutomatically") === true,
    language: ["en", "fr"].find((each) => each === value("language")) ?? "",
  };
}

const TRANSLATION = "@jupyterlab/translation-extension:plugin";

/** Return the language that was chosen in JupyterLab's settings; empty if it is the server's default. */
export async function readLocale(registry: ISettingRegistry | null): Promise<string> {
  const settings = await registry?.load(TRANSLATION).catch(() => null);
  const locale = settings?.get("locale").composite;
  return typeof locale === "string" && locale !== "default" ? locale : "";
}

/** Translate the settings editor's texts; the server only translates those of language packs. */
export function translateSchema(registry: ISettingRegistry, id: string, trans: Trans): void {
  registry.transform(id, {
    fetch: (plugin) => {
      translateTexts(plugin.schema, trans);
      return plugin;
    },
  });
}

function translateTexts(schema: object, trans: Trans): void {
  for (const [key, value] of Object.entries(schema) as [string, unknown][]) {
    if (typeof value === "object" && value !== null) translateTexts(value, trans);
    else if ((key === "title" || key === "description") && typeof value === "string") {
      // eslint-disable-next-line jupyter/no-dynamic-translation -- the sentences are in the schema
      Object.assign(schema, { [key]: trans.__(value) });
    }
  }
}
