import type { ISettingRegistry } from "@jupyterlab/settingregistry";
import type { TranslationBundle } from "@jupyterlab/translation";

/** The user's settings, as `schema/plugin.json` defines them. */
export interface Settings {
  readonly side: "left" | "right";
  readonly statusBar: boolean;
  readonly loadAutomatically: boolean;
}

/** Return the settings, with the default for a malformed value. */
export function readSettings(settings: ISettingRegistry.ISettings | null): Settings {
  const value = (name: keyof Settings) => settings?.get(name).composite;
  return {
    side: value("side") === "left" ? "left" : "right",
    statusBar: value("statusBar") !== false,
    loadAutomatically: value("loadAutomatically") === true,
  };
}

/** Translate the settings editor's texts; the server only translates those of language packs. */
export function translateSchema(registry: ISettingRegistry, id: string, trans: TranslationBundle): void {
  registry.transform(id, {
    fetch: (plugin) => {
      translateTexts(plugin.schema, trans);
      return plugin;
    },
  });
}

function translateTexts(schema: object, trans: TranslationBundle): void {
  for (const [key, value] of Object.entries(schema) as [string, unknown][]) {
    if (typeof value === "object" && value !== null) translateTexts(value, trans);
    else if ((key === "title" || key === "description") && typeof value === "string") {
      // eslint-disable-next-line jupyter/no-dynamic-translation -- the sentences are in the schema
      Object.assign(schema, { [key]: trans.__(value) });
    }
  }
}
