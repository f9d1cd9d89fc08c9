import fc from "fast-check";
import { expect, test } from "vitest";
import { formatSql, MeaningChanged, tokensOf } from "../src/lab/sql/format";

/** Pieces of SQL as people write it. */
const { statement } = fc.letrec<Record<"expression" | "select" | "statement", string>>((tie) => {
  const space = fc.constantFrom(
    " ",
    "\n",
    "  ",
    "\t",
    "\n\n    ",
    " -- it's :x $$\n",
    " /* a ' :b\n   c */ ",
  );
  const joined = (separator: string, each: fc.Arbitrary<string>) =>
    fc.array(each, { minLength: 1, maxLength: 3 }).map((all) => all.join(separator));
  const name = fc.constantFrom("a", "Salaires", "t.été", '"Année"', '"a""b"', "_x", "public.t", "s$1");
  const atom = fc.oneof(
    name,
    fc.constantFrom(
      ":name",
      ":année",
      "1",
      "1.5e3",
      "'it''s'",
      "''",
      "E'it\\'s'",
      "$$ it's :x $$",
      "$q$ $$ $q$",
    ),
    fc.constantFrom("now()", "NULL", "count(*)", "a[:i]", "a[1:2]", "x'1F'", "current_date", "ARRAY[:a, :b]"),
  );
  const operator = fc.constantFrom(
    "=",
    "<>",
    "AND",
    "or",
    "+",
    "-",
    "->>",
    "@>",
    "||",
    "%",
    "~*",
    "LIKE",
    "?",
    "<=",
  );
  const { expression, select } = { expression: tie("expression"), select: tie("select") };
  return {
    expression: fc.oneof(
      { maxDepth: 3, depthSize: "small" },
      atom,
      fc
        .tuple(atom, fc.constantFrom("int", "text", "date", "numeric(10,2)"))
        .map(([a, type]) => `${a}::${type}`),
      fc.tuple(expression, space, operator, space, expression).map((all) => all.join("")),
      fc
        .tuple(fc.constantFrom("coalesce", "lower", ""), joined(", ", expression))
        .map(([f, all]) => `${f}(${all})`),
      fc.tuple(expression, expression).map(([a, b]) => `CASE WHEN ${a} THEN ${b} END`),
      select.map((inner) => `(${inner})`),
    ),
    select: fc
      .tuple(
        fc.constantFrom("SELECT", "select", "SELECT DISTINCT"),
        space,
        joined(", ", expression),
        space,
        fc.option(name, { nil: "t" }),
        fc.option(expression, { nil: "", freq: 1 }),
        fc.constantFrom("", " GROUP BY 1", " ORDER BY 1 DESC LIMIT :n", " LIMIT 10 OFFSET :o"),
      )
      .map(
        ([verb, gap, what, other, from, where, end]) =>
          `${verb}${gap}${what}${other}FROM ${from}${where && ` WHERE ${where}`}${end}`,
      ),
    statement: fc.oneof(
      select,
      select.map((inner) => `WITH x AS (${inner}) SELECT * FROM x`),
      joined(", ", expression).map((all) => `INSERT INTO t VALUES (${all}) RETURNING *`),
      expression.map((value) => `UPDATE t SET a = ${value} WHERE b = :b`),
      fc.constantFrom("DO $$ BEGIN RAISE NOTICE 'it''s'; END $$", "TRUNCATE t", "DELETE FROM t WHERE a = :a"),
    ),
  };
});
const text = fc.array(statement, { minLength: 1, maxLength: 3 }).map((all) => all.join(";\n"));

// It takes a second or two, and more on a busy machine: vitest's default of five seconds is too short.
test("formatted SQL has the same tokens", { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(text, (sql) => {
      const formatted = formatSql(sql);
      // Independent of the parser: nothing but white space moves.
      const bare = (each: string) => each.replace(/\s+/g, "");
      expect(bare(formatted)).toBe(bare(sql));
      expect(tokensOf(formatted)).toEqual(tokensOf(sql));
    }),
    { numRuns: 100 },
  );
});

test("a clause begins a line, and words keep their case", () => {
  const sql = "select a::int, :name from Salaires -- it's\nwhere x = $$ it's $$";
  expect(formatSql(sql)).toBe(
    "select\n    a::int,\n    :name\nfrom\n    Salaires -- it's\nwhere\n    x = $$ it's $$",
  );
});

test.each(["SELECT (a)[1: :n]", "SELECT 'a'\n'b'"])("%j is refused: other tokens", (sql) => {
  expect(() => formatSql(sql)).toThrow(MeaningChanged);
});

test.each(["SELECT (1", "SELECT 'x", "SELECT `a`"])("%j is refused: unreadable", (sql) => {
  expect(() => formatSql(sql)).toThrow(/^Parse error/);
});

test.each([
  ["a::int", "a: :int"],
  ["a :b", "a : b"],
  ["- -1", "--1"],
  ["ab", "a b"],
  ["'a  b'", "'a b'"],
  ["'a'\n'b'", "'a' 'b'"],
  ["$$ a $$", "$$a$$"],
  ["a -- b\nc", "a -- b c"],
  ["a ? b", "a b"],
  ["{a}", "a"],
])("the tokens of %j and %j differ", (one, other) => {
  expect(tokensOf(one)).not.toEqual(tokensOf(other));
});

test.each([
  ["a=-1", "a = -1"],
  ["/* a\n   b */ c", "/* a\nb */\nc"],
  ["f (a,b)", "f(a, b)"],
])("the tokens of %j and %j are the same", (one, other) => {
  expect(tokensOf(one)).toEqual(tokensOf(other));
});
