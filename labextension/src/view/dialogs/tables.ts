import { cls, h, type Content } from "../dom";
import type { Columns, Table, Tables } from "../facts";
import { count, size } from "../format";
import { keys } from "../orders";
import { faint, orderButton, outcome, plainButton } from "../pieces";
import { t, type Scene } from "../scene";
import { empty, labelled, row, table } from "../tables";

/** What is in a database: its tables, and the columns of the one that is opened. */
export function tables(scene: Scene, database: string): Content {
  const key = keys.tables(database);
  const found = scene.store.answer(key) as Tables | undefined;
  const again = orderButton(scene, t(scene, "retry"), key, { do: "tables", database });
  if (!found) {
    const waiting = scene.store.isPending(key);
    return [
      waiting && h("p", { class: cls("note") }, t(scene, "askingDatabase")),
      outcome(scene, key),
      !waiting && again,
    ];
  }
  if (!found.tables.length) return [empty(t(scene, "noTables")), again];
  const rows = found.tables.map((each) => tableRow(scene, database, each));
  return [
    table(scene, "tables", ["kind", "name", "rows", "size"], rows),
    found.all > found.tables.length && faint(t(scene, "moreTables", { count: found.all })),
    outcome(scene, key),
  ];
}

function tableRow(
  scene: Scene,
  database: string,
  [schema, name, kind, rows, bytes, comment, owner]: Table,
): HTMLElement {
  const path = `${schema}.${name}`;
  const open = scene.expanded === path;
  const { language } = scene;
  return row(
    `table ${path}`,
    [
      faint(t(scene, `kind.${kind}`)),
      plainButton([faint(`${schema}.`), name], {
        class: cls("button", "link"),
        "data-expand": path,
        "data-key": `expand ${path}`,
        "data-order": JSON.stringify({ do: "columns", database, schema, table: name }),
        "data-name": keys.columns(database, schema, name),
        "aria-expanded": String(open),
      }),
      labelled(scene, "rows", rows === null ? "" : `≈\u00a0${count(rows, language)}`),
      labelled(scene, "size", bytes === null ? "" : size(bytes, language)),
    ],
    [
      owner && h("p", { class: cls("faint") }, t(scene, "ownedBy", { owner })),
      comment && h("p", { class: cls("faint") }, comment),
      open && columns(scene, database, schema, name),
    ],
  );
}

function columns(scene: Scene, database: string, schema: string, name: string): Content {
  const key = keys.columns(database, schema, name);
  const found = scene.store.answer(key) as Columns | undefined;
  if (!found) {
    const waiting = scene.store.isPending(key);
    return [waiting && h("p", { class: cls("note") }, t(scene, "askingDatabase")), outcome(scene, key)];
  }
  const current = scene.store
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
          faint(type, nullable ? "" : ` ${t(scene, "notNull")}`),
          comment && faint(` — ${comment}`),
        ),
      ),
    ),
    found.all > found.columns.length && faint(t(scene, "moreColumns", { count: found.all })),
    h(
      "div",
      { class: cls("row") },
      plainButton(t(scene, "insertSelect"), {
        "data-insert": `${magic}\n${found.select}`,
        "aria-label": `${t(scene, "insertSelect")}: ${schema}.${name}`,
      }),
    ),
  );
}
