/**
 * JupyterLab's plugins: the side panel with its commands and its status bar item; SQL in cells.
 *
 * Every token is optional, so the plugins also work in Notebook 7 and other reduced shells.
 */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { IConsoleTracker } from "@jupyterlab/console";
import { IEditorLanguageRegistry } from "@jupyterlab/codemirror";
import { INotebookTracker } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import { addCommands } from "./commands";
import { Documents } from "./documents";
import { KernelTracker } from "./kernelTracker";
import { PluginTranslator } from "./language";
import { handleInsertCell } from "./insertCellHandler";
import { COMMANDS } from "./emptyStates";
import { offerToLoad } from "./loadOffer";
import { readLocale, readSettings, translateSchema } from "./settings";
import { renderPanels } from "./panelOutput";
import { PANEL_ID, SidePanel } from "./sidepanel";
import { addSql } from "./sql/language";
import { StatusItem } from "./status";

const RANK = 900;

const plugin: JupyterFrontEndPlugin<void> = {
  id: "sspcloud-magics:plugin",
  description: "Pods, forwards, databases and shares of SSPCloud, for the kernel in front.",
  autoStart: true,
  optional: [
    INotebookTracker,
    IConsoleTracker,
    ICommandPalette,
    ILayoutRestorer,
    IStatusBar,
    ISettingRegistry,
  ],
  activate: async (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker | null,
    consoles: IConsoleTracker | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    statusBar: IStatusBar | null,
    registry: ISettingRegistry | null,
  ) => {
    // A page without documents, such as Notebook 7's list of files, has no kernel to show.
    if (!notebooks && !consoles) return;
    renderPanels(notebooks, consoles);
    const locale = await readLocale(registry);
    const trans = new PluginTranslator({ jupyterlab: locale, browser: navigator.language });
    // The registry loads the settings only after it has this transformation.
    if (registry) translateSchema(registry, plugin.id, trans);
    const settings = registry ? await registry.load(plugin.id).catch(() => null) : null;
    trans.choose(readSettings(settings).language || locale);

    const documents = new Documents(app.shell, notebooks, consoles);
    const tracker = new KernelTracker(documents, () => trans.page);
    const panel = new SidePanel(
      tracker,
      (action) => {
        if ("insert" in action) documents.current?.insert(action.insert);
        else void app.commands.execute(action.command);
      },
      trans,
    );
    addCommands(app, tracker, palette, trans);
    handleInsertCell(documents);

    const { side, statusBar: wanted } = readSettings(settings);
    app.shell.add(panel, side, { rank: RANK });
    restorer?.add(panel, PANEL_ID);
    if (statusBar && wanted) {
      const open = () => void app.commands.execute(COMMANDS.open);
      statusBar.registerStatusItem(`${PANEL_ID}-status`, new StatusItem(tracker, open, trans));
    }
    settings?.changed.connect(() => {
      trans.choose(readSettings(settings).language || locale);
      tracker.sendLanguages();
    });
    offerToLoad(tracker, trans, () => void settings?.set("loadAutomatically", true));
    tracker.changed.connect((_, { state, kernelComm }) => {
      if (readSettings(settings).loadAutomatically && state.kind === "not-loaded")
        void kernelComm?.loadOnce();
    });
  },
};

const sql: JupyterFrontEndPlugin<void> = {
  id: "sspcloud-magics:sql",
  description: "SQL in the cells of %query_db: colours, brackets, comments, indentation.",
  autoStart: true,
  optional: [IEditorLanguageRegistry],
  activate: (_: JupyterFrontEnd, languages: IEditorLanguageRegistry | null) => {
    if (languages) addSql(languages);
  },
};

export default [plugin, sql];
