/** Lays out SQL for reading. What it says stays the same: the tokens are compared, and another text is refused. */

import { formatDialect, postgresql } from "sql-formatter";
import { parser } from "./postgresql";

/** Formatting would have changed what the SQL says. */
export class MeaningChanged extends Error {}

/**
 * Lay out statements, with a clause a line and four blanks a level; words keep their case.
 *
 * @throws MeaningChanged where the result would have other tokens.
 * @throws Error where the text cannot be read; its first line says where.
 */
export function formatSql(sql: string): string {
  const formatted = formatDialect(sql, {
    dialect: postgresql,
    keywordCase: "preserve",
    paramTypes: { named: [":"] },
    tabWidth: 4,
  });
  const [before, after] = [tokensOf(sql), tokensOf(formatted)];
  const isSame = before.length === after.length && before.every((each, index) => each === after[index]);
  if (!isSame) throw new MeaningChanged();
  return formatted;
}

/** The tokens of SQL, comments included, of which only the indentation may change. */
export function tokensOf(sql: string): string[] {
  const found: string[] = [];
  let end = 0;
  /** What the parser takes for no token, such as a lone quote of another dialect, counts by the character. */
  const addUnread = (to: number) => {
    found.push(...Array.from(sql.slice(end, to).replace(/\s+/g, "")));
    end = to;
  };
  parser.parse(sql).iterate({
    enter: ({ from, to, name, node }) => {
      if (node.firstChild || from === to) return;
      addUnread(from);
      const text = sql.slice(from, to);
      found.push(name.endsWith("Comment") ? text.trim().replace(/\s+/g, " ") : text);
      end = to;
    },
  });
  addUnread(sql.length);
  return found;
}
