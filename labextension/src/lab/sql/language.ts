/**
 * JupyterLab's language for notebooks, which is Python, with SQL in it.
 *
 * All text below the line of `%%query_db` is SQL, and is not parsed as Python: as it is invalid Python, that would be a
 * hundred times slower, and repeated at each key. After `%query_db` on a line, SQL is an overlay on Python's tree.
 * Python's own parser parses all other cells.
 *
 * The parser for SQL is loaded with the first such cell; until then, its SQL has no colours.
 */

import { LanguageSupport, LRLanguage, ParseContext } from "@codemirror/language";
import type { IEditorLanguageRegistry } from "@jupyterlab/codemirror";
import {
  parseMixed,
  Parser,
  Tree,
  type Input,
  type NestedParse,
  type ParseWrapper,
  type PartialParse,
  type SyntaxNodeRef,
} from "@lezer/common";
import { commentsAbove, endOfMagic, sqlOfLines, type Range } from "./cell";

/** A function that returns the parser for SQL. */
export type Sql = () => Parser;

let loaded: Parser | null = null;
let loading: Promise<void> | null = null;

/** Return the parser for SQL; during its loading, a parser that skips the text and parses it later. */
export function lazySql(): Parser {
  if (loaded) return loaded;
  loading ??= import("./postgresql").then(({ parser }) => {
    loaded = parser;
  });
  return ParseContext.getSkippingParser(loading);
}

/** A piece of a cell in one language. */
interface Piece {
  readonly parse: PartialParse;
  readonly to: number;
}

/** The pieces of a cell, one after the other, in one tree. The last one is the SQL below the magic. */
class CellParse implements PartialParse {
  private readonly trees: Tree[] = [];
  private stop: number | null = null;

  constructor(private readonly pieces: readonly Piece[]) {}

  get parsedPos(): number {
    return this.pieces[this.trees.length]?.parse.parsedPos ?? this.pieces.at(-1)?.to ?? 0;
  }

  get stoppedAt(): number | null {
    return this.stop;
  }

  stopAt(position: number): void {
    this.stop = position;
    for (const { parse, to } of this.pieces.slice(this.trees.length))
      if (position < to) parse.stopAt(position);
  }

  advance(): Tree | null {
    const piece = this.pieces[this.trees.length];
    const tree = piece?.parse.advance();
    if (piece && !tree) return null;
    if (tree) this.trees.push(tree);
    const isLast = this.trees.length === this.pieces.length;
    return !piece || isLast || (this.stop !== null && this.stop <= piece.to) ? joinTrees(this.trees) : null;
  }
}

/** The last language is at the top: a lookup at the end of the text then finds SQL. */
function joinTrees(trees: readonly Tree[]): Tree {
  const last = trees.at(-1) ?? Tree.empty;
  const top = last.type.isTop ? last : (trees.find(({ type }) => type.isTop) ?? last);
  const children: Tree["children"][number][] = [];
  const positions: number[] = [];
  let length = 0;
  for (const tree of trees) {
    const start = length;
    children.push(...(tree === top ? tree.children : [tree]));
    positions.push(...(tree === top ? tree.positions.map((each) => start + each) : [start]));
    length += tree.length;
  }
  return new Tree(top.type, children, positions, length);
}

/** A parser that parses ranges separately: a quote that is open at the end of one line does not affect the next. */
class Apart extends Parser {
  constructor(private readonly sql: Parser) {
    super();
  }

  createParse(input: Input, _: readonly unknown[], ranges: readonly Range[]): PartialParse {
    const from = ranges[0]?.from ?? 0;
    const to = ranges.at(-1)?.to ?? from;
    const advance = () => {
      const trees = ranges.map((each) => this.sql.parse(input, [], [each]));
      const type = trees[0]?.type;
      const positions = ranges.map((each) => each.from - from);
      return type ? new Tree(type, trees, positions, to - from) : Tree.empty;
    };
    return { parsedPos: from, stoppedAt: null, stopAt: () => undefined, advance };
  }
}

/** Overlay SQL on Python's tree, except in strings and comments. */
function overlay(node: SyntaxNodeRef, lines: readonly Range[], sql: Sql): NestedParse | null {
  if (!node.type.isTop) return null;
  const isCode = ({ from }: Range) => !/String|Comment/.test(node.node.resolveInner(from, -1).name);
  const ranges = lines.filter(isCode);
  return ranges.length ? { parser: new Apart(sql()), overlay: ranges } : null;
}

/** Return Python's language with the SQL of the magics. */
export function withSql(python: LanguageSupport, sql: Sql): LanguageSupport {
  const { language, support } = python;
  if (!(language instanceof LRLanguage)) return python;
  const wrap: ParseWrapper = (parse, input, fragments, ranges) => {
    const [{ from, to } = { from: 0, to: 0 }] = ranges;
    // Several ranges occur only inside another language.
    if (from > 0 || ranges.length !== 1) return parse;
    const source = input.read(from, to);
    const end = endOfMagic(source);
    if (end !== null && end < to) {
      const piece = (parser: Parser, from: number, to: number): Piece => ({
        parse: parser.startParse(input, fragments, [{ from, to }]),
        to,
      });
      const pieces: Piece[] = [];
      let last = from;
      for (const comment of commentsAbove(source, end)) {
        if (last < comment.from) pieces.push(piece(language.parser, last, comment.from));
        pieces.push(piece(sql(), comment.from, comment.to));
        last = comment.to;
      }
      pieces.push(piece(language.parser, last, end), piece(sql(), end, to));
      return new CellParse(pieces);
    }
    const lines = end === null ? sqlOfLines(source) : [];
    if (!lines.length) return parse;
    return parseMixed((node) => overlay(node, lines, sql))(parse, input, fragments, ranges);
  };
  return new LanguageSupport(language.configure({ wrap }), support);
}

/**
 * Replace JupyterLab's Python language by the one with SQL.
 *
 * A registered language can be neither replaced nor registered again, and is loaded with the first notebook. So this
 * exchanges its support, at once and whenever another one is stored.
 */
export function addSql(languages: IEditorLanguageRegistry, sql: Sql = lazySql): void {
  const ipython = languages.findByName("ipython");
  if (!ipython) return;
  const known = new WeakMap<LanguageSupport, LanguageSupport>();
  const exchanged = (python: LanguageSupport | undefined) => {
    const made = python && (known.get(python) ?? withSql(python, sql));
    if (made) {
      known.set(python, made);
      known.set(made, made);
    }
    return made;
  };
  let support = exchanged(ipython.support);
  Object.defineProperty(ipython, "support", {
    configurable: true,
    enumerable: true,
    get: () => support,
    set: (python: LanguageSupport | undefined) => (support = exchanged(python)),
  });
}
