/** Actions for SQL cells: add one, format one. */

import { Notification } from "@jupyterlab/apputils";
import type { Cell } from "@jupyterlab/cells";
import type { KernelDocument } from "../documents";
import { endOfMagic } from "./cell";
import type { Trans } from "../language";

/** Add a cell for the current or the named connection, and put the cursor at the start of its SQL. */
export async function addSqlCell(document: KernelDocument | null, database: string | null): Promise<void> {
  const source = `%%query_db${database === null ? "" : ` --db ${database}`}\n`;
  document?.insert(source);
  const cell = document?.cell;
  if (!cell) return;
  await cell.ready;
  document.edit();
  cell.editor?.setCursorPosition({ line: 1, column: 0 });
}

/** Format the SQL of a cell, or report why it is unchanged. */
export async function formatCell(cell: Cell | null, trans: Trans): Promise<void> {
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
  // It is a third of the plugin, and few users format cells.
  const { formatSql, MeaningChanged } = await import("./format");
  try {
    const formatted = `\n${formatSql(source.slice(end))}`;
    // Keep text that was typed while the formatter loaded.
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
