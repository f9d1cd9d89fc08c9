/** Format SQL. The tokens are compared, and a result with other tokens is refused. */

import { formatDialect, postgresql } from "sql-formatter";
import { parser } from "./postgresql";

/** Formatting would have changed the meaning of the SQL. */
export class MeaningChanged extends Error {}

/**
 * Format statements, with one clause per line and four blanks per level; words keep their case.
 *
 * @throws MeaningChanged if the result has other tokens.
 * @throws Error if the text cannot be parsed; its first line gives the position.
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

/** Return the tokens of SQL. Comments are tokens, whose indentation may change. */
export function tokensOf(sql: string): string[] {
  const found: string[] = [];
  let end = 0;
  /** Text that the parser does not recognize, such as a lone quote of another dialect: one token per character. */
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
