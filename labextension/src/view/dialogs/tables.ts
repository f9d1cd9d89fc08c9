import { cls, h, type Content } from "../dom";
import type { Table } from "../protocol";
import { count, size } from "../format";
import { keys } from "../keys";
import { faint, commandButton, outcome, plainButton } from "../components";
import { t, type ViewContext } from "../context";
import { empty } from "../items";
import { labelledCell, row, table } from "../tables";

/** The tables of a database, and the columns of the expanded one. */
export function tables(context: ViewContext, database: string): Content {
  const key = keys.tables(database);
  const found = context.store.reply("list_tables", key);
  const again = commandButton(context, t(context, "retry"), key, { do: "list_tables", database });
  if (!found) {
    const waiting = context.store.isPending(key);
    return [
      waiting && h("p", { class: cls("note") }, t(context, "askingDatabase")),
      outcome(context, key),
      !waiting && again,
    ];
  }
  if (!found.tables.length) return [empty(t(context, "noTables")), again];
  const rows = found.tables.map((each) => tableRow(context, database, each));
  return [
    table(context, "tables", ["kind", "name", "rows", "size"], rows),
    found.all > found.tables.length && faint(t(context, "moreTables", { count: found.all })),
    outcome(context, key),
  ];
}

function tableRow(
  context: ViewContext,
  database: string,
  [schema, name, kind, rows, bytes, comment, owner]: Table,
): HTMLElement {
  const path = `${schema}.${name}`;
  const open = context.expanded === path;
  const { language } = context;
  return row(
    `table ${path}`,
    [
      faint(t(context, `kind.${kind}`)),
      plainButton([faint(`${schema}.`), name], {
        class: cls("button", "link"),
        "data-expand": path,
        "data-key": `expand ${path}`,
        "data-command": JSON.stringify({ do: "describe_table", database, schema, table: name }),
        "data-name": keys.columns(database, schema, name),
        "aria-expanded": String(open),
      }),
      labelledCell(context, "rows", rows === null ? "" : `≈\u00a0${count(rows, language)}`),
      labelledCell(context, "size", bytes === null ? "" : size(bytes, language)),
    ],
    [
      owner && h("p", { class: cls("faint") }, t(context, "ownedBy", { owner })),
      comment && h("p", { class: cls("faint") }, comment),
      open && columns(context, database, schema, name),
    ],
  );
}

function columns(context: ViewContext, database: string, schema: string, name: string): Content {
  const key = keys.columns(database, schema, name);
  const found = context.store.reply("describe_table", key);
  if (!found) {
    const waiting = context.store.isPending(key);
    return [waiting && h("p", { class: cls("note") }, t(context, "askingDatabase")), outcome(context, key)];
  }
  const current = context.store
    .all("connection")
    .some(([, each]) => each.current && each.database === database);
  const magic = current ? "%%query_db" : `%%query_db --db ${database}`;
  return h(
    "div",
    { class: cls("stack"), "data-key": "columns" },
    h(
      "ul",
      { class: cls("columnlist") },
      found.columns.map(([column, type, nullable, comment]) =>
        h(
          "li",
          {},
          h("code", {}, column),
          " ",
          faint(type, nullable ? "" : ` ${t(context, "notNull")}`),
          comment && faint(` — ${comment}`),
        ),
      ),
    ),
    found.all > found.columns.length && faint(t(context, "moreColumns", { count: found.all })),
    h(
      "div",
      { class: cls("row") },
      plainButton(t(context, "insertSelect"), {
        "data-insert": `${magic}\n${found.select}`,
        "aria-label": `${t(context, "insertSelect")}: ${schema}.${name}`,
      }),
    ),
  );
}
