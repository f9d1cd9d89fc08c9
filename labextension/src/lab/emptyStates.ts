/** The texts and actions that the side panel shows in place of the widget, for each state. */

import type { Kind, State } from "./state";
import type { Trans } from "./language";

/** The action of a button: a command, or a source for a new cell. */
export type Action = { command: string } | { insert: string };

export interface EmptyState {
  readonly title: string;
  readonly text: string;
  /** A line that the user can run. */
  readonly code?: string;
  readonly actions: readonly { label: string; action: Action }[];
  /** Whether the user can only wait. */
  readonly waiting?: boolean;
}

export const COMMANDS = {
  open: "sspcloud:open-panel",
  load: "sspcloud:load-extension",
  insert: "sspcloud:insert-panel",
  newSqlCell: "sspcloud:new-sql-cell",
  formatSql: "sspcloud:format-sql",
} as const;

/** The line that loads the extension into a kernel. */
export const LOAD = "%load_ext sspcloud_magics";
const PACKAGE = "sspcloud-magics";

/** Return the content for a state without a widget. */
export function getEmptyState(state: Exclude<State, { kind: "live" }>, trans: Trans): EmptyState {
  const chooseKernel = { label: trans.__("Choose a kernel…"), action: { command: "kernelmenu:change" } };
  const again = { label: trans.__("Try again"), action: { command: COMMANDS.load } };
  switch (state.kind) {
    case "no-document":
      return {
        title: trans.__("No notebook is open"),
        text: trans.__(
          "Open a notebook or a console with a Python kernel: its forwards, databases and shares are shown here.",
        ),
        actions: [{ label: trans.__("New notebook"), action: { command: "notebook:create-new" } }],
      };
    case "no-kernel":
      return {
        title: trans.__("There is no kernel"),
        text: trans.__("No kernel runs for this document. Choose a Python kernel for it."),
        actions: [chooseKernel],
      };
    case "starting":
      return {
        title: trans.__("The kernel is starting"),
        text: trans.__("The panel fills in as soon as the kernel is ready."),
        actions: [],
        waiting: true,
      };
    case "dead":
      return {
        title: trans.__("The kernel has died"),
        text: trans.__(
          "Its forwards and connections ended with it; shares continue. Restart the kernel, and load the extension again.",
        ),
        actions: [{ label: trans.__("Restart the kernel…"), action: { command: "kernelmenu:restart" } }],
      };
    case "disconnected":
      return {
        title: trans.__("Reconnecting to the kernel"),
        text: trans.__("JupyterLab is reconnecting to the kernel. Its forwards and connections stay open."),
        actions: [
          { label: trans.__("Reconnect now"), action: { command: "kernelmenu:reconnect-to-kernel" } },
        ],
        waiting: true,
      };
    case "foreign":
      return {
        title: trans.__("Not a Python kernel"),
        text: trans.__("This kernel runs %1. The panel works with Python kernels.", state.language),
        actions: [chooseKernel],
      };
    case "asking":
      return {
        title: trans.__("Asking the kernel…"),
        text: trans.__("The panel fills in as soon as the kernel answers."),
        actions: [],
        waiting: true,
      };
    case "busy":
      return {
        title: trans.__("The kernel is busy"),
        text: trans.__(
          "A cell is running. The panel fills in when the kernel answers; to have it sooner, interrupt the cell.",
        ),
        actions: [],
        waiting: true,
      };
    case "not-loaded":
      return {
        title: trans.__("Not loaded in this kernel"),
        text: trans.__("The button runs this line. You can also run it in a cell."),
        code: LOAD,
        actions: [{ label: trans.__("Load the extension"), action: { command: COMMANDS.load } }],
      };
    case "loading":
      return {
        title: trans.__("Loading the extension…"),
        text: state.queued
          ? trans.__("A cell is running. The extension loads when the cell ends.")
          : trans.__("The panel fills in as soon as the kernel answers."),
        actions: [],
        waiting: true,
      };
    case "not-installed":
      return {
        title: trans.__("Not installed in this kernel"),
        text: trans.__(
          "The kernel's environment has no sspcloud_magics. Run this line in a cell, then try again.",
        ),
        code: `%pip install ${PACKAGE}`,
        actions: [
          { label: trans.__("Insert into a new cell"), action: { insert: `%pip install ${PACKAGE}` } },
          again,
        ],
      };
    case "outdated":
      return {
        title: trans.__("Too old in this kernel"),
        text: trans.__(
          "The kernel's sspcloud_magics is too old for this panel. Run this line in a cell, then restart the kernel.",
        ),
        code: `%pip install --upgrade ${PACKAGE}`,
        actions: [
          {
            label: trans.__("Insert into a new cell"),
            action: { insert: `%pip install --upgrade ${PACKAGE}` },
          },
        ],
      };
    case "failed":
      return {
        title: trans.__("Loading the extension failed"),
        text: trans.__("The kernel reports: %1. Run this line in a cell to see the traceback.", state.reason),
        code: LOAD,
        actions: [again],
      };
    case "shared":
      return {
        title: trans.__("This kernel's widgets are elsewhere"),
        text: trans.__(
          "They belong to another document with the same kernel. Go to that document, or reload the page if it is closed.",
        ),
        actions: [],
      };
    case "no-widgets":
      return {
        title: trans.__("This JupyterLab shows no widgets"),
        text: trans.__("Run this command on the machine that runs JupyterLab, and reload the page."),
        code: "pip install jupyterlab_widgets",
        actions: [],
      };
  }
}

/** The states in which the user has to do something. */
export const TROUBLE: ReadonlySet<Kind> = new Set(["dead", "failed", "not-installed", "outdated"]);
