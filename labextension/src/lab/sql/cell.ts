/** Where SQL stands in the source of a cell: below the line of `%%query_db`, or behind `%query_db` on a line. */

/** What may take the result: `df =`, `rows, n =`, `found["a = b"]: DataFrame =`. */
// It begins with no blank: else a long indentation could be cut in as many ways as it has blanks.
const TARGET = String.raw`(?:(?=[^ \t])(?:[^\n'"#]|'[^'\n]*'|"[^"\n]*")*=[ \t]*)?`;
/** What may stand above the line of a cell magic: comments, SQL's too, and the magics that run a cell magic themselves. */
const ABOVE = String.raw`(?:[ \t]*(?:(?:#|--)[^\n]*|%%(?:time|timeit|capture)\b[^\n]*)?\n)*`;
const CELL = new RegExp(String.raw`^${ABOVE}[ \t]*${TARGET}%%query_db(?!\S)[^\n]*`);
/** A backslash at its end continues a line. */
const LINE = new RegExp(String.raw`^([ \t]*${TARGET}%query_db[ \t]+)((?:[^\n\\]|\\(?!\n)|\\\n)+)`, "gm");
/** A line that begins or ends a transaction has options and no SQL. */
const TRANSACTION = /^(?:\s*--(?:begin|commit|rollback|db\s+\S+))+\s*$/;

export interface Range {
  readonly from: number;
  readonly to: number;
}

/** The end of the line of `%%query_db`, behind which all is SQL; null where the source is no such cell. */
export function endOfMagic(source: string): number | null {
  // Almost every cell is none: this is all that it costs.
  if (!source.includes("%%query_db")) return null;
  return CELL.exec(source)?.[0].length ?? null;
}

/** The comments of SQL above the line of `%%query_db`, which ends at `end`. */
export function commentsAbove(source: string, end: number): Range[] {
  return [...source.slice(0, end).matchAll(/^[ \t]*--[^\n]*/gm)].map(({ index, 0: text }) => ({
    from: index,
    to: index + text.length,
  }));
}

/** The SQL behind each `%query_db` on a line of its own, or behind a name that takes the result. */
export function sqlOfLines(source: string): Range[] {
  if (!source.includes("%query_db")) return [];
  return [...source.matchAll(LINE)]
    .filter(([, , sql = ""]) => !TRANSACTION.test(sql))
    .map(({ index, 1: before = "", 2: sql = "" }) => {
      const from = index + before.length;
      return { from, to: from + sql.length };
    });
}
