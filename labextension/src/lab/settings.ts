import type { ISettingRegistry } from "@jupyterlab/settingregistry";
import type { TranslationBundle } from "@jupyterlab/translation";

/** What the user can choose, as `schema/plugin.json` describes it. */
export interface Settings {
  readonly side: "left" | "right";
  readonly statusBar: boolean;
  readonly loadAutomatically: boolean;
}

/** The settings as far as they are well-formed, the rest as by default. */
export function read(settings: ISettingRegistry.ISettings | null): Settings {
  const value = (name: keyof Settings) => settings?.get(name).composite;
  return {
    side: value("side") === "left" ? "left" : "right",
    statusBar: value("statusBar") !== false,
    loadAutomatically: value("loadAutomatically") === true,
  };
}

/** Say in the settings editor in the user's language what they are; the server knows only the language packs' own. */
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
      // eslint-disable-next-line jupyter/no-dynamic-translation -- the sentences stand in the schema
      Object.assign(schema, { [key]: trans.__(value) });
    }
  }
}
