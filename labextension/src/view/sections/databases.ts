import { cls, h, type Content } from "../dom";
import type { Connection, Database } from "../protocol";
import { keys } from "../keys";
import { commandAttributes, commandButton, dialogAttributes, outcome, submitButton } from "../components";
import { currentNamespace, t, type ViewContext } from "../context";
import { item, knownCount, list, placeholder, section, type Action } from "../items";

const ASLEEP = ["hibernated", "suspended"];
const QUERY = "SELECT 1";

/** Databases: yours and those of colleagues, with the open connections, and a colleague's by its name. */
export function databases(context: ViewContext): HTMLElement {
  const open = new Set(context.store.all("connection").map(([, { database }]) => database));
  const rank = ([path, { mine }]: [string, Database]) => (open.has(path) ? 0 : mine ? 1 : 2);
  const all = [...context.store.all("database")].sort((one, other) => rank(one) - rank(other));
  const known = new Set(all.map(([path]) => path));
  const others = context.store.all("connection").filter(([, { database }]) => !known.has(database));
  const rows = [
    ...all.map(([path, database]) => databaseItem(context, path, database)),
    ...others.map(([, { database }]) => connectedItem(context, database)),
  ];
  const none = t(context, "noDatabases", { namespace: currentNamespace(context) });
  return section(
    context,
    "databases",
    knownCount(context, "databases", rows.length),
    placeholder(context, "databases", rows.length, none) ?? list(context, "databases", rows),
    colleagues(context),
    outcome(context, keys.connectNamed),
  );
}

/** The connection to a database: the current one first. */
function connectionTo(context: ViewContext, path: string): Connection | undefined {
  const found = context.store.all("connection").map(([, each]) => each);
  return (
    found.find((each) => each.database === path && each.current) ??
    found.find((each) => each.database === path)
  );
}

function databaseItem(context: ViewContext, path: string, database: Database): HTMLElement {
  const connection = connectionTo(context, path);
  const asleep = ASLEEP.includes(database.state);
  const sharedBy = !database.mine && t(context, "sharedBy", { namespace: path.split("/")[0] });
  return item(context, `database ${path}`, {
    tone: connection ? "good" : database.tone,
    state: connection ? t(context, "state.connected") : stateWord(context, database),
    title: database.name,
    detail: [sharedBy, sharedBy && connection && " · ", connection && used(context, connection)],
    buttons: !connection && !asleep && connectButton(context, path),
    icons: asleep ? [] : actions(context, path, connection),
    menu: menu(context, path, database, connection, asleep),
    below: [
      asleep && h("p", { class: cls("faint", "note") }, asleepNote(context, database)),
      outcome(context, keys.connect(path)),
      outcome(context, keys.disconnect(path)),
    ],
  });
}

/** The word for a state; none for that of a colleague's database, which you cannot see. */
function stateWord(context: ViewContext, { state }: Database): string | undefined {
  return state === "unknown" ? undefined : t(context, `state.${state}`);
}

/** A connected database that the discovery does not list. */
function connectedItem(context: ViewContext, path: string): HTMLElement {
  const connection = connectionTo(context, path);
  return item(context, `database ${path}`, {
    tone: "good",
    state: t(context, "state.connected"),
    title: path,
    detail: connection && used(context, connection),
    icons: actions(context, path, connection),
    menu: [connection !== undefined && disconnect(context, path)],
    below: outcome(context, keys.disconnect(path)),
  });
}

function used(context: ViewContext, { user, current }: Connection): string {
  return t(context, current ? "usedNow" : "usedAlso", { user });
}

function asleepNote(context: ViewContext, database: Database): Content {
  const page = context.store.single("platform")?.services;
  if (!database.mine) return t(context, "asleep");
  if (!page) return t(context, "asleepMine");
  const link = { href: page, target: "_blank", rel: "noopener noreferrer" };
  return h("a", link, t(context, "wakeUp"));
}

function connectButton(context: ViewContext, path: string): Content {
  const key = keys.connect(path);
  return commandButton(
    context,
    t(context, "connect"),
    key,
    { do: "connect", database: path },
    { "aria-label": t(context, "connectNamed", { name: path }) },
  );
}

function actions(context: ViewContext, path: string, connection: Connection | undefined): Action[] {
  const tables: Action = {
    label: t(context, "tables"),
    name: t(context, "tablesNamed", { name: path }),
    icon: "tables",
    attributes: dialogAttributes({ kind: "tables", database: path }),
  };
  if (!connection) return [tables];
  const magic = connection.current ? "%%query_db" : `%%query_db --db ${path}`;
  const query: Action = {
    label: t(context, "newQuery"),
    name: t(context, "newQueryNamed", { name: path }),
    icon: "query",
    attributes: { "data-insert": `${magic}\n${QUERY}`, "data-key": `query ${path}` },
  };
  return [tables, query];
}

function menu(
  context: ViewContext,
  path: string,
  database: Database,
  connection: Connection | undefined,
  asleep: boolean,
): (Action | false)[] {
  const share: Action = {
    label: t(context, "share"),
    name: t(context, "shareNamed", { name: path }),
    icon: "share",
    attributes: dialogAttributes({ kind: "share", database: path }),
  };
  const use: Action = {
    label: t(context, "useNow"),
    icon: "connect",
    attributes: commandAttributes(context, keys.connect(path), { do: "connect", database: path }),
  };
  return [
    database.mine && !asleep && database.kind === "postgres" && share,
    connection !== undefined && !connection.current && use,
    connection !== undefined && disconnect(context, path),
  ];
}

function disconnect(context: ViewContext, path: string): Action {
  return {
    label: t(context, "disconnect"),
    name: t(context, "disconnectNamed", { name: path }),
    icon: "disconnect",
    attributes: commandAttributes(context, keys.disconnect(path), { do: "disconnect", database: path }),
  };
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
    submitButton(context, "connect", keys.connectNamed, {
      "aria-label": t(context, "connectNamed", { name: t(context, "connectOther") }),
    }),
  );
}
