/** Find the SQL in the source of a cell: below the line of `%%query_db`, or after `%query_db` on a line. */

/** An assignment of the result: `df =`, `rows, n =`, `found["a = b"]: DataFrame =`. */
// It does not begin with a blank: otherwise a long indentation matches in many ways.
const TARGET = String.raw`(?:(?=[^ \t])(?:[^\n'"#]|'[^'\n]*'|"[^"\n]*")*=[ \t]*)?`;
/** Lines allowed above a cell magic: comments, also of SQL, and the magics that run a cell magic. */
const ABOVE = String.raw`(?:[ \t]*(?:(?:#|--)[^\n]*|%%(?:time|timeit|capture)\b[^\n]*)?\n)*`;
const CELL = new RegExp(String.raw`^${ABOVE}[ \t]*${TARGET}%%query_db(?!\S)[^\n]*`);
/** A backslash at its end continues a line. */
const LINE = new RegExp(String.raw`^([ \t]*${TARGET}%query_db[ \t]+)((?:[^\n\\]|\\(?!\n)|\\\n)+)`, "gm");
/** A line that begins or ends a transaction: options without SQL. */
const TRANSACTION = /^(?:\s*--(?:begin|commit|rollback|db\s+\S+))+\s*$/;

export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Return the end of the line of `%%query_db`, after which all is SQL; null without such a line. */
export function endOfMagic(source: string): number | null {
  // A fast test, because almost no cell is an SQL cell.
  if (!source.includes("%%query_db")) return null;
  return CELL.exec(source)?.[0].length ?? null;
}

/** Return the SQL comments above the line of `%%query_db`, which ends at `end`. */
export function commentsAbove(source: string, end: number): Range[] {
  return [...source.slice(0, end).matchAll(/^[ \t]*--[^\n]*/gm)].map(({ index, 0: text }) => ({
    from: index,
    to: index + text.length,
  }));
}

/** Return the SQL of each `%query_db` line, with or without an assignment. */
export function sqlOfLines(source: string): Range[] {
  if (!source.includes("%query_db")) return [];
  return [...source.matchAll(LINE)]
    .filter(([, , sql = ""]) => !TRANSACTION.test(sql))
    .map(({ index, 1: before = "", 2: sql = "" }) => {
      const from = index + before.length;
      return { from, to: from + sql.length };
    });
}
