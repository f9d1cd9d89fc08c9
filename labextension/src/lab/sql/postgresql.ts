/**
 * The parser for PostgreSQL with `:name` for a variable of the notebook.
 *
 * The grammar, the keywords and most tokens are those of `@codemirror/lang-sql`. Its tokenizer serves many dialects.
 * The tokenizer here comes first: for text that PostgreSQL reads in another way, and for parameters of the notebook.
 * It follows `sspcloud_magics/databases/postgres/sql_lexer.py`, which binds the parameters.
 */

import { PostgreSQL, SQLDialect } from "@codemirror/lang-sql";
import { delimitedIndent, indentNodeProp } from "@codemirror/language";
import { styleTags, tags } from "@lezer/highlight";
import { ExternalTokenizer, type InputStream, type LRParser, type Stack } from "@lezer/lr";

// lang-sql reads a name that begins with "_" as the character set of a string, as in MySQL.
const dialect = SQLDialect.define({ ...PostgreSQL.spec, charSetCasts: false });

type At = (offset: number) => number;
type Name = "String" | "Identifier" | "SpecialVar" | "Operator" | "Punctuation";
type Found = readonly [Name, number];

const code = (character: string) => character.charCodeAt(0);
const codes = (characters: string) => new Set(Array.from(characters, code));
const [QUOTE, BACKSLASH, DOLLAR, COLON] = [code("'"), code("\\"), code("$"), code(":")];
const [DASH, SLASH, STAR, EQUALS, UNDERSCORE] = [code("-"), code("/"), code("*"), code("="), code("_")];
const OPERATORS = codes("+-*/<>=~!@#%^&|`?");
/** An operator of several characters ends in + or - only if it contains one of these. */
const UNUSUAL = codes("~!@#%^&|`?");
const SIGNS = codes("+-");
const OPERAND_ENDS = codes(`)]'"`);
/** No operand ends with these words, so a colon after them begins a parameter. */
const NO_OPERAND = new Set(
  (
    "all and any array between by case distinct else from having ilike in is like limit not on or returning " +
    "select set similar then to using values when where with"
  ).split(" "),
);

const isDigit = (c: number) => c >= 48 && c <= 57;
const isLetter = (c: number) => (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === UNDERSCORE || c >= 128;
const isWord = (c: number) => isLetter(c) || isDigit(c);
const isSpace = (c: number) => c === 32 || (c >= 9 && c <= 13);

/** Return the end of a string whose quote opens at `start`; an unclosed string reaches to the end of the text. */
function endOfString(at: At, start: number, escapes: boolean): number {
  let offset = start + 1;
  for (;;) {
    const c = at(offset);
    if (c < 0) return offset;
    offset += escapes && c === BACKSLASH && at(offset + 1) >= 0 ? 2 : 1;
    if (c !== QUOTE) continue;
    const next = at(offset) === QUOTE ? offset : continuation(at, offset);
    if (next === null) return offset;
    offset = next + 1;
  }
}

/** Return the quote that continues a string, after white space with a line break. */
function continuation(at: At, end: number): number | null {
  let isNextLine = false;
  let offset = end;
  for (; isSpace(at(offset)); offset++) isNextLine ||= at(offset) === 10;
  return isNextLine && at(offset) === QUOTE ? offset : null;
}

/** A string between dollar tags, or `$1`. */
function dollar(at: At): Found | null {
  let end = 1;
  while (isWord(at(end))) end++;
  if (isDigit(at(1))) return ["SpecialVar", end];
  if (at(end) !== DOLLAR) return null;
  const tag = end + 1;
  for (let offset = tag; ; offset++) {
    if (at(offset) < 0) return ["String", offset];
    if (at(offset) !== DOLLAR) continue;
    let same = 0;
    while (same < tag && at(offset + same) === at(same)) same++;
    if (same === tag) return ["String", offset + tag];
  }
}

/** A word, or the string with that prefix; null for a word that can be a keyword. */
function word(at: At): Found | null {
  const first = String.fromCharCode(at(0)).toLowerCase();
  if ((first === "e" || first === "n") && at(1) === QUOTE)
    return ["String", endOfString(at, 1, first === "e")];
  let end = 1;
  let isPlain = at(0) < 128 && at(0) !== UNDERSCORE;
  for (; isWord(at(end)) || at(end) === DOLLAR; end++) isPlain &&= at(end) < 128 && at(end) !== DOLLAR;
  return isPlain ? null : ["Identifier", end];
}

/** An operator ends where a comment begins. */
function operator(at: At): number {
  let end = 0;
  let isUnusual = false;
  const isComment = () =>
    (at(end) === DASH && at(end + 1) === DASH) || (at(end) === SLASH && at(end + 1) === STAR);
  for (; OPERATORS.has(at(end)) && !isComment(); end++) isUnusual ||= UNUSUAL.has(at(end));
  while (end > 1 && !isUnusual && SIGNS.has(at(end - 1))) end--;
  return end;
}

/** A cast, an assignment, the parameter `:name`, or the colon between the bounds of a slice. */
function colon(at: At, isInBrackets: () => boolean): Found {
  if (at(1) === COLON || at(1) === EQUALS) return ["Operator", 2];
  if (!isLetter(at(1)) || (isInBrackets() && isAfterOperand(at))) return ["Punctuation", 1];
  let end = 2;
  while (isWord(at(end))) end++;
  return ["SpecialVar", end];
}

function isAfterOperand(at: At): boolean {
  let offset = -1;
  while (isSpace(at(offset))) offset--;
  if (OPERAND_ENDS.has(at(offset))) return true;
  let before = "";
  for (; isWord(at(offset)); offset--) before = String.fromCharCode(at(offset)) + before;
  return before !== "" && !NO_OPERAND.has(before.toLowerCase());
}

/** Return the token at offset 0; null if lang-sql reads it correctly. */
function read(at: At, isInBrackets: () => boolean): Found | null {
  const c = at(0);
  if (c === QUOTE) return ["String", endOfString(at, 0, false)];
  if (c === DOLLAR) return dollar(at);
  if (c === COLON) return colon(at, isInBrackets);
  if (isLetter(c)) return word(at);
  const end = operator(at);
  return end ? ["Operator", end] : null;
}

/** Return lang-sql's parser with this tokenizer before its own. */
function withTokens(original: LRParser): LRParser {
  // Lezer's types contain neither. A test fails if they disappear.
  const { tokenizers } = original as unknown as { tokenizers: unknown[] };
  const theirs = tokenizers.find((each) => each instanceof ExternalTokenizer) as ExternalTokenizer & {
    token(input: InputStream, stack: Stack): void;
  };
  const idOf = (name: string) => original.nodeSet.types.find((type) => type.name === name)?.id ?? 0;
  const ids: Record<Name, number> = {
    String: idOf("String"),
    Identifier: idOf("Identifier"),
    SpecialVar: idOf("SpecialVar"),
    Operator: idOf("Operator"),
    Punctuation: idOf("Punctuation"),
  };
  const bracket = idOf("]");
  const ours = new ExternalTokenizer((input, stack) => {
    const found = read(
      (offset) => input.peek(offset),
      () => stack.canShift(bracket),
    );
    if (found) input.acceptToken(ids[found[0]], found[1]);
    else theirs.token(input, stack);
  });
  return original.configure({ tokenizers: [{ from: theirs, to: ours }] });
}

/** A new line has the indentation of the previous one, and more inside parentheses. */
const indentation = indentNodeProp.add({
  "Script Statement": () => null,
  Parens: delimitedIndent({ closing: ")", align: false }),
  Brackets: delimitedIndent({ closing: "]", align: false }),
});

// JupyterLab's themes have no colour for the tags of lang-sql.
const colours = styleTags({
  SpecialVar: tags.definition(tags.variableName),
  Type: tags.standard(tags.variableName),
});

export const parser: LRParser = withTokens(dialect.language.parser).configure({
  props: [indentation, colours],
});
