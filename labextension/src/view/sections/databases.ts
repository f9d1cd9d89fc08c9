import { cls, h, type Attributes } from "../dom";
import type { Connection, Database } from "../protocol";
import { keys } from "../keys";
import {
  badge,
  dialogButton,
  faint,
  commandButton,
  outcome,
  prose,
  shape,
  submitButton,
} from "../components";
import { currentNamespace, shortTarget, t, type ViewContext } from "../context";
import { placeholder, row, section, table } from "../tables";

const ASLEEP = ["hibernated", "suspended"];

/** Databases: the open connections, your own databases, and a colleague's by its name. */
export function databases(context: ViewContext): HTMLElement {
  const rows = context.store.all("database").map(([path, database]) => databaseRow(context, path, database));
  const none = t(context, "noDatabases", { namespace: currentNamespace(context) });
  return section(
    context,
    "databases",
    context.store.all("connection").map(([, connection]) => connectionLine(context, connection)),
    placeholder(context, "databases", rows.length, none) ??
      table(context, "databases", ["state", "name", "kind", "actions"], rows),
    colleagues(context),
    outcome(context, keys.connectNamed),
  );
}

function databaseRow(context: ViewContext, path: string, database: Database): HTMLElement {
  const key = keys.connect(path);
  const asleep = ASLEEP.includes(database.state);
  const label = { "aria-label": t(context, "connectNamed", { name: path }) };
  return row(
    `database ${path}`,
    [
      badge(database.tone, t(context, `state.${database.state}`)),
      [
        database.name,
        !database.mine && faint(` ${t(context, "sharedBy", { namespace: path.split("/")[0] })}`),
      ],
      faint(database.kind),
      database.kind === "postgres" &&
        !asleep &&
        h(
          "span",
          { class: cls("actions") },
          commandButton(context, t(context, "connect"), key, { do: "connect", database: path }, label),
          dialogButton(
            context,
            "tables",
            { kind: "tables", database: path },
            named(context, "tablesNamed", path),
          ),
          database.mine &&
            dialogButton(
              context,
              "share",
              { kind: "share", database: path },
              named(context, "shareNamed", path),
            ),
        ),
    ],
    [asleep && h("p", { class: cls("faint") }, t(context, "asleep")), outcome(context, key)],
  );
}

function named(context: ViewContext, word: string, name: string): Attributes {
  return { "aria-label": t(context, word, { name }) };
}

function connectionLine(context: ViewContext, { database, dbname, user, current }: Connection): HTMLElement {
  const sentence = t(context, current ? "connected" : "alsoConnected", {
    name: shortTarget(context, database),
    user,
  });
  return h(
    "p",
    { class: cls("connected"), "data-key": `connection ${database} ${user} ${dbname}` },
    shape(current ? "good" : "over"),
    " ",
    prose(sentence),
  );
}

function colleagues(context: ViewContext): HTMLElement {
  const id = `${context.id}-database`;
  return h(
    "form",
    { class: cls("form"), "data-key": "form", "data-form": "connect" },
    h("label", { for: id, class: cls("faint") }, t(context, "connectOther")),
    h("input", {
      type: "text",
      class: cls("input"),
      name: "database",
      id,
      placeholder: "user-alice/postgresql-cnpg-951239",
      autocomplete: "off",
      spellcheck: "false",
    }),
    submitButton(
      context,
      "connect",
      keys.connectNamed,
      named(context, "connectNamed", t(context, "connectOther")),
    ),
  );
}
