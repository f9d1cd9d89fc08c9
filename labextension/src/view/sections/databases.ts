import { cls, h, type Attributes } from "../dom";
import type { Connection, Database } from "../facts";
import { keys } from "../orders";
import { badge, dialogButton, faint, orderButton, outcome, prose, shape, submitButton } from "../pieces";
import { namespace, own, t, type Scene } from "../scene";
import { instead, row, section, table } from "../tables";

const ASLEEP = ["hibernated", "suspended"];

/** Databases: those that one is connected to, one's own, and a colleague's by its name. */
export function databases(scene: Scene): HTMLElement {
  const rows = scene.store.all("database").map(([path, database]) => databaseRow(scene, path, database));
  const none = t(scene, "noDatabases", { namespace: namespace(scene) });
  return section(
    scene,
    "databases",
    scene.store.all("connection").map(([, connection]) => connected(scene, connection)),
    instead(scene, "databases", rows.length, none) ??
      table(scene, "databases", ["state", "name", "kind", "actions"], rows),
    colleagues(scene),
    outcome(scene, keys.connectNamed),
  );
}

function databaseRow(scene: Scene, path: string, database: Database): HTMLElement {
  const key = keys.connect(path);
  const asleep = ASLEEP.includes(database.state);
  const label = { "aria-label": t(scene, "connectNamed", { name: path }) };
  return row(
    `database ${path}`,
    [
      badge(database.tone, t(scene, `state.${database.state}`)),
      [database.name, !database.mine && faint(` ${t(scene, "sharedBy", { namespace: path.split("/")[0] })}`)],
      faint(database.kind),
      database.kind === "postgres" &&
        !asleep &&
        h(
          "span",
          { class: cls("actions") },
          orderButton(scene, t(scene, "connect"), key, { do: "connect", database: path }, label),
          dialogButton(
            scene,
            "tables",
            { kind: "tables", database: path },
            named(scene, "tablesNamed", path),
          ),
          database.mine &&
            dialogButton(scene, "share", { kind: "share", database: path }, named(scene, "shareNamed", path)),
        ),
    ],
    [asleep && h("p", { class: cls("faint") }, t(scene, "asleep")), outcome(scene, key)],
  );
}

function named(scene: Scene, word: string, name: string): Attributes {
  return { "aria-label": t(scene, word, { name }) };
}

function connected(scene: Scene, { database, dbname, user, current }: Connection): HTMLElement {
  const sentence = t(scene, current ? "connected" : "alsoConnected", { name: own(scene, database), user });
  return h(
    "p",
    { class: cls("connected"), "data-key": `connection ${database} ${user} ${dbname}` },
    shape(current ? "good" : "over"),
    " ",
    prose(sentence),
  );
}

function colleagues(scene: Scene): HTMLElement {
  const id = `${scene.id}-database`;
  return h(
    "form",
    { class: cls("form"), "data-key": "form", "data-form": "connect" },
    h("label", { for: id, class: cls("faint") }, t(scene, "connectOther")),
    h("input", {
      type: "text",
      class: cls("input"),
      name: "database",
      id,
      placeholder: "user-alice/postgresql-cnpg-951239",
      autocomplete: "off",
      spellcheck: "false",
    }),
    submitButton(scene, "connect", keys.connectNamed, named(scene, "connectNamed", t(scene, "connectOther"))),
  );
}
