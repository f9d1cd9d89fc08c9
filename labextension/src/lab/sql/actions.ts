/** What can be done with SQL in cells: begin a new one, lay one out. */

import { Notification } from "@jupyterlab/apputils";
import type { Cell } from "@jupyterlab/cells";
import type { TranslationBundle } from "@jupyterlab/translation";
import type { KernelDocument } from "../documents";
import { endOfMagic } from "./cell";

/** Add a cell that asks the current connection, or the one that is named, and put the cursor where its SQL begins. */
export async function addSqlCell(document: KernelDocument | null, database: string | null): Promise<void> {
  const source = `%%query_db${database === null ? "" : ` --db ${database}`}\n`;
  document?.insert(source);
  const cell = document?.cell;
  if (!cell) return;
  await cell.ready;
  document.edit();
  cell.editor?.setCursorPosition({ line: 1, column: 0 });
}

/** Lay out the SQL of a cell, or say why it stays as it is. */
export async function formatCell(cell: Cell | null, trans: TranslationBundle): Promise<void> {
  const refuse = (sentence: string) => void Notification.warning(sentence, { autoClose: 8_000 });
  const shared = cell?.model.sharedModel;
  const end = shared ? endOfMagic(shared.source) : null;
  if (!cell || !shared || end === null) {
    refuse(
      trans.__(
        "This is not an SQL cell. Click into a cell that begins with %1, and try again.",
        "%%query_db",
      ),
    );
    return;
  }
  const source = shared.source;
  // It is a third of the plugin, and few cells are laid out.
  const { formatSql, MeaningChanged } = await import("./format");
  try {
    const formatted = `\n${formatSql(source.slice(end))}`;
    // What was typed while the formatter was loaded stays.
    if (cell.readOnly || shared.source !== source || source.slice(end) === formatted) return;
    shared.updateSource(end, source.length, formatted);
  } catch (error) {
    if (error instanceof MeaningChanged) {
      refuse(trans.__("The SQL is unchanged: formatting would have changed its meaning."));
    } else {
      const reason = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
      refuse(trans.__("The SQL is unchanged, because the formatter cannot read it: %1", reason));
    }
  }
}
