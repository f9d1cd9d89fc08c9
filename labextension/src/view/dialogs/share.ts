import { cls, h, type Attributes, type Content } from "../dom";
import type { Made, Plan } from "../facts";
import { date } from "../format";
import { keys } from "../orders";
import { copyButton, field, outcome, plainButton, prose, shape, submitButton } from "../pieces";
import { t, type Scene } from "../scene";

/** For how long a share may be asked for by a click. */
const TIMES = ["1d", "7d", "30d", "90d"];
const USUAL = "7d";

/** Sharing a database: what is asked for, what that would make, and once it is made the line to send. */
export function share(scene: Scene, database: string): Content {
  const made = scene.store.answer(keys.share(database)) as Made | undefined;
  return made ? done(scene, made) : form(scene, database);
}

function form(scene: Scene, database: string): Content {
  const plan = scene.store.answer(keys.planShare(database)) as Plan | undefined;
  // A preview of something else than what is filled in now is none.
  const current = plan !== undefined && scene.planned !== "" && scene.planned === scene.wish;
  // As `wish` has it: nothing is ticked.
  const none = scene.wish.includes('"schemas":[]');
  return [
    h(
      "form",
      { class: cls("stack"), "data-form": "share", "data-database": database },
      field(
        scene,
        "colleagues",
        "colleagues",
        { placeholder: "bob carol", required: true },
        t(scene, "colleaguesHint"),
      ),
      h(
        "fieldset",
        { class: cls("choices") },
        h("legend", {}, t(scene, "access")),
        choice(t(scene, "access.read-only"), { type: "radio", name: "access", value: "read", checked: true }),
        choice(t(scene, "access.read-write"), { type: "radio", name: "access", value: "write" }),
      ),
      schemas(scene, database, plan?.every ?? [], none),
      lasts(scene),
      h(
        "div",
        { class: cls("row") },
        submitButton(scene, "preview", keys.planShare(database), {
          value: "plan",
          class: cls("button", ...(current ? [] : ["main"])),
          ...(none ? { "aria-disabled": "true", title: t(scene, "schemasNone") } : {}),
        }),
        submitButton(scene, "shareIt", keys.share(database), {
          value: "share",
          class: cls("button", ...(current ? ["main"] : [])),
          ...(current ? {} : { "aria-disabled": "true", title: t(scene, "previewFirst") }),
        }),
      ),
    ),
    outcome(scene, keys.planShare(database)),
    outcome(scene, keys.share(database)),
    current && preview(scene, plan),
  ];
}

function choice(label: string, attributes: Attributes): HTMLElement {
  return h("label", { class: cls("choice") }, h("input", attributes), " ", label);
}

/** The schemas of the database, to tick; to be named where it does not tell which there are. */
function schemas(scene: Scene, database: string, every: string[], none: boolean): Content {
  const key = keys.schemas(database);
  const found = scene.store.answer(key) as string[] | undefined;
  if (!found && !scene.store.get("order", key)?.error) {
    const asking = h("p", { class: cls("note") }, t(scene, "askingDatabase"));
    return h("div", { class: cls("field"), "data-key": "asking" }, outcome(scene, key) ?? asking);
  }
  if (!found?.length) {
    const there = every.length ? t(scene, "schemasThere", { names: every.join(", ") }) : "";
    return field(scene, "schemas", "schemas", {}, `${t(scene, "schemasHint")} ${there}`);
  }
  const hint = `${scene.id}-schemas-hint`;
  return h(
    "fieldset",
    { class: cls("choices", "many"), "data-key": "choices", "aria-describedby": none && hint },
    h("legend", {}, t(scene, "schemas")),
    found.map((name) => choice(name, { type: "checkbox", name: "schema", value: name, checked: true })),
    none && h("p", { class: cls("step"), id: hint, role: "alert" }, t(scene, "schemasNone")),
  );
}

function lasts(scene: Scene): HTMLElement {
  const id = `${scene.id}-lasts`;
  return h(
    "div",
    { class: cls("field") },
    h("label", { for: id }, t(scene, "lasts")),
    h("input", {
      type: "text",
      class: cls("input"),
      name: "lasts",
      id,
      value: USUAL,
      list: `${id}-times`,
      autocomplete: "off",
      required: true,
      "aria-describedby": `${id}-hint`,
    }),
    h(
      "datalist",
      { id: `${id}-times` },
      TIMES.map((time) => h("option", { value: time })),
    ),
    h("p", { class: cls("faint", "hint"), id: `${id}-hint` }, t(scene, "lastsHint")),
  );
}

function preview(scene: Scene, plan: Plan): HTMLElement {
  const right = t(scene, plan.read_write ? "access.read-write" : "access.read-only");
  const until = date(plan.until, scene.language);
  return h(
    "section",
    { class: cls("preview"), role: "status", "data-key": "preview" },
    h("h4", {}, t(scene, "wouldMake")),
    h(
      "ul",
      {},
      plan.colleagues.map((name, index) =>
        h(
          "li",
          {},
          t(scene, "wouldShare", { name, right, schemas: plan.schemas.join(", "), until }),
          " ",
          h(
            "span",
            { class: cls("faint") },
            `${plan.objects.join(", ")}; Postgres: ${plan.roles[index] ?? ""}`,
          ),
        ),
      ),
    ),
    notes(plan.notes, scene),
    whole(scene, "sqlWhole", plan.sql),
    whole(scene, "objectsWhole", plan.yaml),
  );
}

function notes(all: string[], scene: Scene): Content {
  const english = scene.language === "fr" ? "en" : null;
  return (
    all.length > 0 &&
    h(
      "ul",
      { class: cls("faint"), lang: english },
      all.map((note) => h("li", {}, prose(note))),
    )
  );
}

function whole(scene: Scene, word: string, text: string): HTMLElement {
  return h(
    "details",
    { class: cls("details"), "data-key": word },
    h("summary", {}, t(scene, word)),
    h("pre", { tabindex: "0", role: "group", "aria-label": t(scene, word) }, text),
  );
}

function done(scene: Scene, made: Made): Content {
  const names = made.colleagues.join(", ");
  return h(
    "div",
    { class: cls("stack"), "data-key": "made" },
    h("p", {}, shape("good"), " ", t(scene, "isShared", { names, until: date(made.until, scene.language) })),
    h("p", {}, t(scene, "sendLine")),
    h("p", { class: cls("address") }, h("code", {}, made.line), copyButton(scene, made.line)),
    notes(made.notes, scene),
    h(
      "div",
      { class: cls("row") },
      plainButton(t(scene, "close"), { "data-close": "", class: cls("button", "main") }),
    ),
  );
}
