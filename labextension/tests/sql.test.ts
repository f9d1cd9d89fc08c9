import { toggleComment } from "@codemirror/commands";
import { pythonLanguage } from "@codemirror/lang-python";
import {
  ensureSyntaxTree,
  getIndentation,
  LanguageSupport,
  matchBrackets,
  syntaxTree,
} from "@codemirror/language";
import { EditorState, type Extension, type Transaction } from "@codemirror/state";
import type { IEditorLanguage, IEditorLanguageRegistry } from "@jupyterlab/codemirror";
import { TreeFragment, type Tree } from "@lezer/common";
import { highlightTree, tagHighlighter, tags } from "@lezer/highlight";
import { expect, test } from "vitest";
import { endOfMagic, sqlOfLines } from "../src/lab/sql/cell";
import { addSql, withSql } from "../src/lab/sql/language";
import { parser } from "../src/lab/sql/postgresql";

const python = new LanguageSupport(pythonLanguage);
const notebook = withSql(python, () => parser);

/** The tags with a colour in JupyterLab's themes. */
const themes = tagHighlighter([
  { tag: tags.keyword, class: "keyword" },
  { tag: tags.number, class: "number" },
  { tag: tags.standard(tags.variableName), class: "builtin" },
  { tag: tags.definition(tags.name), class: "parameter" },
  { tag: tags.operator, class: "operator" },
  { tag: tags.comment, class: "comment" },
  { tag: tags.string, class: "string" },
  { tag: tags.special(tags.string), class: "quoted" },
]);

/** The coloured pieces of a cell: `SELECT keyword`. */
function colours(source: string, language = notebook): string[] {
  const found: string[] = [];
  highlightTree(language.language.parser.parse(source), themes, (from, to, style) => {
    if (style) found.push(`${source.slice(from, to)} ${style}`);
  });
  return found;
}

/** The coloured pieces of SQL alone. */
const ofSql = (sql: string) => colours(`%%query_db\n${sql}`).slice(colours("%%query_db\nx").length);

/** A tree with the names of its nodes. */
// eslint-disable-next-line @typescript-eslint/no-base-to-string -- lezer's trees have a text of their own
const shape = (tree: Tree) => String(tree);

/** The state of an editor whose text is parsed to its end; CodeMirror itself parses for 20 ms, then later. */
function state(doc: string, cursor = doc.length, extensions: Extension = notebook): EditorState {
  const made = EditorState.create({ doc, selection: { anchor: cursor }, extensions });
  expect(ensureSyntaxTree(made, doc.length, Infinity)).not.toBeNull();
  return made.update({}).state;
}

test.each([
  ["%%query_db\nSELECT 1", "\nSELECT 1"],
  ["%%query_db --into df --limit 3\nSELECT 1", "\nSELECT 1"],
  ["\n  %%query_db\nSELECT 1", "\nSELECT 1"],
  ["# Les salaires\n\n# de 2020\n%%query_db\nSELECT 1", "\nSELECT 1"],
  ["-- it's\n# Les salaires\n  -- :a\n%%query_db\nSELECT 1", "\nSELECT 1"],
  ["df = %%query_db --limit 3\nSELECT 1", "\nSELECT 1"],
  ["tables['été'] = %%query_db\nSELECT 1", "\nSELECT 1"],
  ["found['a = b']: DataFrame = %%query_db\nSELECT 1", "\nSELECT 1"],
  ["a = b = %%query_db\nSELECT 1", "\nSELECT 1"],
  ["%%time\n%%query_db\nSELECT 1", "\nSELECT 1"],
  ["%%query_db", ""],
])("SQL begins below the magic of %j", (source, sql) => {
  const end = endOfMagic(source);
  expect(end).not.toBeNull();
  expect(source.slice(end ?? 0)).toBe(sql);
});

test.each([
  "print('%%query_db')\nSELECT",
  "text = 'a = %%query_db x'\nSELECT",
  "x = 1\n%%query_db\nSELECT 1",
  "%%query_database\nSELECT 1",
  "%%query_db?",
  "# %%query_db\nx",
  "%%bash\n%%query_db\nSELECT 1",
])("no SQL begins in %j", (source) => {
  expect(endOfMagic(source)).toBeNull();
});

test.each([
  ["%query_db SELECT 1", ["SELECT 1"]],
  ["x = 1\nif x:\n    df = %query_db SELECT 1\nprint(df)", ["SELECT 1"]],
  ["a = %query_db SELECT 1\nb, c = %query_db SELECT 2", ["SELECT 1", "SELECT 2"]],
  ["df = %query_db SELECT 1 \\\n  + 2\ny = 3", ["SELECT 1 \\\n  + 2"]],
  ["df: pd.DataFrame = %query_db SELECT 1", ["SELECT 1"]],
  ["text = 'a = %query_db x'", []],
  ["%query_db --begin", []],
  ["%query_db --commit --db salaires", []],
  ["print(f'%query_db {x}')", []],
  ["%query_db?", []],
])("SQL is found on the lines of %j", (source, found) => {
  expect(sqlOfLines(source).map(({ from, to }) => source.slice(from, to))).toEqual(found);
});

test("a cell of another kind is parsed by Python's own parser", () => {
  for (const source of ["x = 'SELECT 1' % y", "# query_db\n%k8s_pods", "%%bash\necho 'it''s'"]) {
    const tree = notebook.language.parser.parse(source);
    expect(shape(tree)).toBe(shape(pythonLanguage.parser.parse(source)));
    expect(tree.type).toBe(pythonLanguage.parser.topNode);
  }
});

test.each([
  "%%query_db --into df",
  "df = %%query_db --db 'a' --limit 1000 --to x.csv",
  "# it's\n%%query_db --into df",
])("the line %j keeps its colours", (line) => {
  const before = colours(line, python);
  expect(before.length).toBeGreaterThan(0);
  expect(colours(`${line}\nSELECT 'x`).slice(0, before.length)).toEqual(before);
});

test.each([
  ["SELECT a", ["SELECT keyword"]],
  [":name", [":name parameter"]],
  [":année_2", [":année_2 parameter"]],
  ["a::int", [":: operator", "int builtin"]],
  [":a::date", [":a parameter", ":: operator", "date builtin"]],
  ["f(a := :b)", [":= operator", ":b parameter"]],
  ["a[lo:hi]", []],
  ["a[f(x):hi]", []],
  ["a[:i]", [":i parameter"]],
  ["a[1: :n]", ["1 number", ":n parameter"]],
  ["ARRAY[:a, :b]", ["ARRAY builtin", ":a parameter", ":b parameter"]],
  [
    "a[CASE WHEN b THEN :c END]",
    ["CASE keyword", "WHEN keyword", "THEN keyword", ":c parameter", "END keyword"],
  ],
  ["'it''s' AND", ["'it''s' string", "AND keyword"]],
  ["'a\\' AND", ["'a\\' string", "AND keyword"]],
  [String.raw`E'it\'s' AND`, [String.raw`E'it\'s' string`, "AND keyword"]],
  ["'a'\n  'b:c'", ["'a'\n  'b:c' string"]],
  ["$$ it's :x $$ AND", ["$$ it's :x $$ string", "AND keyword"]],
  ["$été$ $$ ' $été$ AND", ["$été$ $$ ' $été$ string", "AND keyword"]],
  ["$1", ["$1 parameter"]],
  ["-- it's :x\nAND", ["-- it's :x comment", "AND keyword"]],
  ["1+-- it's\nAND", ["1 number", "+ operator", "-- it's comment", "AND keyword"]],
  ["2*/* it's /* ' */ ' */ AND", ["2 number", "* operator", "/* it's /* ' */ ' */ comment", "AND keyword"]],
  ['"Select :x" AND', ['"Select :x" quoted', "AND keyword"]],
  ["_date, été_date, a$date", []],
  ["a->>'k' @> b", ["->> operator", "'k' string", "@> operator"]],
  ["a =-1", ["= operator", "- operator", "1 number"]],
  ["'open", ["'open string"]],
  ["$$open", ["$$open string"]],
])("SQL %j is coloured as PostgreSQL reads it", (sql, pieces) => {
  expect(ofSql(sql)).toEqual(pieces);
});

test("comments of SQL above the magic are comments", () => {
  expect(colours("-- it's :x\n# Python's\n -- $$\n%%query_db --limit 1\nSELECT")).toEqual([
    "-- it's :x comment",
    "# Python's comment",
    "-- $$ comment",
    ...colours("%%query_db --limit 1", python),
    "SELECT keyword",
  ]);
});

test("a quote that is open on one line is closed at its end", () => {
  const source = "a = %query_db SELECT 'x\nb = %query_db SELECT :y\nprint('z')";
  const found = colours(source);
  expect(found).toContain("'x string");
  expect(found).toContain(":y parameter");
  expect(found.filter((each) => each === "SELECT keyword")).toHaveLength(2);
  expect(found.at(-1)).toBe("'z' string");
});

test("a line like SQL in a Python string stays a string", () => {
  const source = '"""\n%query_db SELECT 1\n"""';
  expect(colours(source)).toEqual(colours(source, python));
});

test("an incremental parse gives the tree of the whole text", () => {
  const final =
    "# c\n%%query_db --into df\nSELECT a[lo:hi], $$ it's $$\nFROM t -- it's\nWHERE x = :x::int;\nSELECT 2";
  let fragments: readonly TreeFragment[] = [];
  let typed = "";
  const check = (next: string, from: number, toA: number, toB: number) => {
    fragments = TreeFragment.applyChanges(fragments, [{ fromA: from, toA, fromB: from, toB }]);
    const tree = notebook.language.parser.parse(next, fragments);
    fragments = TreeFragment.addTree(tree, fragments);
    expect(shape(tree), next).toBe(shape(notebook.language.parser.parse(next)));
    expect(tree.length).toBe(next.length);
    typed = next;
  };
  for (const letter of final) check(typed + letter, typed.length, typed.length, typed.length + 1);
  // In the middle, in the line of the magic, and back to Python.
  for (const place of [final.indexOf("FROM"), final.indexOf("df"), 1, final.indexOf("%%")]) {
    check(`${typed.slice(0, place)}x${typed.slice(place)}`, place, place, place + 1);
  }
});

test("a stopped parse has the text before the stop", () => {
  const source = `%%query_db\n${"SELECT 1;\n".repeat(2_000)}`;
  const parse = notebook.language.parser.startParse(source);
  while (parse.parsedPos < 5_000) expect(parse.advance()).toBeNull();
  parse.stopAt(parse.parsedPos);
  let tree = parse.advance();
  while (!tree) tree = parse.advance();
  expect(tree.length).toBeGreaterThanOrEqual(5_000);
  expect(tree.length).toBeLessThan(source.length);
  expect(shape(tree)).toContain("Statement");
});

test("comments toggle as SQL, and as Python on the first line", () => {
  const toggled = (doc: string, cursor?: number) => {
    let found = state(doc, cursor);
    toggleComment({ state: found, dispatch: (transaction: Transaction) => (found = transaction.state) });
    return found.doc.toString();
  };
  expect(toggled("%%query_db\nSELECT 1")).toBe("%%query_db\n-- SELECT 1");
  expect(toggled("%%query_db\n-- SELECT 1")).toBe("%%query_db\nSELECT 1");
  expect(toggled("%%query_db\nSELECT 1\nFROM t", 12)).toBe("%%query_db\n-- SELECT 1\nFROM t");
  expect(toggled("%%query_db\nSELECT 1", 3)).toBe("# %%query_db\nSELECT 1");
  expect(toggled("df = %query_db SELECT 1")).toBe("# df = %query_db SELECT 1");
});

test("quotes and brackets close and match as SQL's", () => {
  const brackets = (doc: string) =>
    state(doc).languageDataAt<{ brackets: string[] }>("closeBrackets", doc.length);
  expect(brackets("%%query_db\nSELECT ")[0]?.brackets).not.toContain("'''");
  expect(brackets("x = 1")[0]?.brackets).toContain("'''");
  const doc = "%%query_db\nSELECT f(')', (1)) -- )";
  const match = matchBrackets(state(doc), doc.indexOf("("), 1);
  expect(match).toMatchObject({ matched: true, end: { from: doc.indexOf(") --") } });
});

test.each([
  ["%%query_db --into df", null],
  ["%%query_db\nSELECT a,", null],
  ["%%query_db\nSELECT 1;", null],
  ["%%query_db\nSELECT a\n  WHERE x IN (", 4],
  ["%%query_db\nSELECT a[", 2],
])("a new line after %j is indented by %j (null: as before)", (doc, columns) => {
  expect(getIndentation(state(`${doc}\n`), doc.length + 1)).toBe(columns);
});

test("the registered language is exchanged when loaded", async () => {
  for (const early of [true, false]) {
    const ipython: IEditorLanguage = { name: "ipython", mime: "text/x-ipython" };
    if (early) ipython.support = python;
    addSql({ findByName: () => ipython } as unknown as IEditorLanguageRegistry, () => parser);
    if (!early) {
      // As LanguageDescription and the registry do, one after the other.
      ipython.support = python;
      const first = ipython.support;
      ipython.support = await Promise.resolve(python);
      expect(ipython.support).toBe(first);
      ipython.support = first;
      expect(ipython.support).toBe(first);
    }
    const doc = "%%query_db\nSELECT 1";
    expect(shape(syntaxTree(state(doc, 0, ipython.support)))).toContain("Statement");
  }
});
