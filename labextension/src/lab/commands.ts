/** The commands, for the palette and for the panel's own buttons. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { ICommandPalette } from "@jupyterlab/apputils";
import { DisposableSet, type IDisposable } from "@lumino/disposable";
import type { KernelTracker } from "./kernelTracker";
import { panelIcon } from "./icons";
import { COMMANDS } from "./emptyStates";
import { PANEL_ID } from "./sidepanel";
import { addSqlCell, formatCell } from "./sql/actions";
import type { PluginTranslator } from "./language";

const NO_ARGUMENTS = { args: { type: "object", properties: {} } } as const;

/** Add the commands, and name them in the palette. */
export function addCommands(
  { commands, shell }: JupyterFrontEnd,
  tracker: KernelTracker,
  palette: ICommandPalette | null,
  trans: PluginTranslator,
): IDisposable {
  const added = new DisposableSet();
  added.add(
    commands.addCommand(COMMANDS.open, {
      label: () => trans.__("Open the SSPCloud Panel"),
      caption: () => trans.__("Show pods, forwards, databases and shares of the kernel in front"),
      icon: panelIcon,
      describedBy: NO_ARGUMENTS,
      execute: () => shell.activateById(PANEL_ID),
    }),
  );
  added.add(
    commands.addCommand(COMMANDS.load, {
      label: () => trans.__("Load the SSPCloud Extension into the Kernel"),
      caption: () => trans.__("Run %load_ext sspcloud_magics in the kernel in front"),
      describedBy: NO_ARGUMENTS,
      isEnabled: () => tracker.current.kernelComm?.canLoad ?? false,
      execute: () => tracker.current.kernelComm?.load(),
    }),
  );
  added.add(
    commands.addCommand(COMMANDS.insert, {
      label: () => trans.__("Insert a Cell with the SSPCloud Panel"),
      caption: () => trans.__("Add a cell that shows the panel in its output"),
      describedBy: NO_ARGUMENTS,
      isEnabled: () => tracker.documents.current !== null,
      execute: () => tracker.documents.current?.insert("%load_ext sspcloud_magics\n%sspcloud"),
    }),
  );
  added.add(
    commands.addCommand(COMMANDS.newSqlCell, {
      label: () => trans.__("New SQL Cell"),
      caption: () => trans.__("Add a cell below the active one that queries the connected database"),
      describedBy: NO_ARGUMENTS,
      isEnabled: () => tracker.documents.current !== null,
      execute: () => {
        const { state } = tracker.current;
        return addSqlCell(tracker.documents.current, state.kind === "live" ? state.summary.database : null);
      },
    }),
  );
  added.add(
    commands.addCommand(COMMANDS.formatSql, {
      label: () => trans.__("Format SQL"),
      caption: () => trans.__("Format the SQL of the active cell, with one clause per line"),
      describedBy: NO_ARGUMENTS,
      isEnabled: () => tracker.documents.current !== null,
      execute: () => formatCell(tracker.documents.current?.cell ?? null, trans),
    }),
  );
  const category = "SSPCloud";
  for (const command of Object.values(COMMANDS)) {
    const item = palette?.addItem({ command, category });
    if (item) added.add(item);
  }
  tracker.changed.connect(() => {
    if (!added.isDisposed) commands.notifyCommandChanged(COMMANDS.load);
  }, added);
  trans.changed.connect(() => {
    if (!added.isDisposed)
      for (const command of Object.values(COMMANDS)) commands.notifyCommandChanged(command);
  }, added);
  return added;
}
