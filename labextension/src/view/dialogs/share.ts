import { cls, h, type Attributes, type Content } from "../dom";
import type { Note, Preview, ShareResult } from "../protocol";
import { date, day } from "../format";
import { keys } from "../keys";
import { copyButton, field, outcome, plainButton, prose, shape, submitButton } from "../components";
import { exampleGroup, t, type ViewContext } from "../context";
import { isSameRequest } from "../forms";

/** The durations that the share dialog suggests. */
const TIMES = ["1d", "7d", "30d"];
const USUAL = "7d";
const DAY = 86_400;
/** Number of notes in sight; the others are folded. */
const NOTES = 2;

/** The share dialog: the request, its preview, and then the line to send. */
export function share(context: ViewContext, database: string): Content {
  const made = context.store.reply("share", keys.share(database));
  if (made) return shareResult(context, made);
  const plan = context.store.reply("preview_share", keys.previewShare(database));
  // A preview of another request than the current one does not count.
  const current = plan !== undefined && isSameRequest(context.previewed, context.shareRequest);
  const request = context.shareRequest;
  const none = request !== null && "schemas" in request && request.schemas.length === 0;
  return previewedForm(context, {
    attributes: { "data-form": "share", "data-database": database },
    name: database,
    fields: [
      h(
        "fieldset",
        { class: cls("choices") },
        h("legend", {}, t(context, "access")),
        choice(t(context, "access.read-only"), {
          type: "radio",
          name: "access",
          value: "read",
          checked: true,
        }),
        choice(t(context, "access.read-write"), { type: "radio", name: "access", value: "write" }),
      ),
      schemas(context, database, plan?.every ?? [], none),
    ],
    blocked: none ? t(context, "schemasNone") : "",
    preview: current ? preview(context, database, plan) : null,
  });
}

/** The parts of a form that is previewed before it is sent. */
export interface PreviewedForm {
  readonly attributes: Attributes;
  /** The name of the shared thing, which is in the keys of the buttons. */
  readonly name: string;
  /** The fields between the colleagues and the duration. */
  readonly fields: Content;
  /** Why there can be no preview; empty if there can. */
  readonly blocked: string;
  /** The preview of the request in the form, if there is one. */
  readonly preview: Content;
}

/** The form of a share: colleagues, fields, duration, and the two buttons. */
export function previewedForm(context: ViewContext, shown: PreviewedForm): Content {
  const { attributes, name, fields, blocked, preview } = shown;
  return [
    h(
      "form",
      { class: cls("stack"), ...attributes },
      field(
        context,
        "colleagues",
        "colleagues",
        { placeholder: "bob carol", required: true },
        t(context, "colleaguesHint", { group: exampleGroup(context) }),
      ),
      fields,
      durationField(context),
      h(
        "div",
        { class: cls("row") },
        submitButton(context, "preview", keys.previewShare(name), {
          value: "plan",
          class: cls("button", ...(preview ? [] : ["main"])),
          ...(blocked ? { "aria-disabled": "true", title: blocked } : {}),
        }),
        submitButton(context, "shareIt", keys.share(name), {
          value: "share",
          class: cls("button", ...(preview ? ["main"] : [])),
          ...(preview ? {} : { "aria-disabled": "true", title: t(context, "previewFirst") }),
        }),
      ),
    ),
    outcome(context, keys.previewShare(name)),
    outcome(context, keys.share(name)),
    preview,
  ];
}

export function choice(label: string, attributes: Attributes): HTMLElement {
  return h("label", { class: cls("choice") }, h("input", attributes), " ", label);
}

/** The schemas of the database as checkboxes; a text field if the list is unavailable. */
function schemas(context: ViewContext, database: string, every: string[], none: boolean): Content {
  const key = keys.schemas(database);
  const found = context.store.reply("list_schemas", key);
  if (!found && !context.store.get("command", key)?.error) {
    const asking = h("p", { class: cls("note") }, t(context, "askingDatabase"));
    return h("div", { class: cls("field"), "data-key": "asking" }, outcome(context, key) ?? asking);
  }
  if (!found?.length) {
    const there = every.length ? t(context, "schemasThere", { names: every.join(", ") }) : "";
    return field(context, "schemas", "schemas", {}, `${t(context, "schemasHint")} ${there}`);
  }
  const hint = `${context.id}-schemas-hint`;
  return h(
    "fieldset",
    { class: cls("choices", "many"), "data-key": "choices", "aria-describedby": none && hint },
    h("legend", {}, t(context, "schemas")),
    found.map((name) => choice(name, { type: "checkbox", name: "schema", value: name, checked: true })),
    none && h("p", { class: cls("step"), id: hint, role: "alert" }, t(context, "schemasNone")),
  );
}

/** The duration: a day, a week, a month, or until a date. */
function durationField(context: ViewContext): HTMLElement {
  const id = `${context.id}-duration`;
  const chosen = context.shareRequest?.duration ?? USUAL;
  const hasDate = !TIMES.includes(chosen);
  return h(
    "fieldset",
    { class: cls("choices"), "data-key": "duration" },
    h("legend", {}, t(context, "duration")),
    TIMES.map((time) =>
      choice(t(context, `duration.${time}`), {
        type: "radio",
        name: "duration",
        value: time,
        checked: time === USUAL,
      }),
    ),
    choice(t(context, "duration.date"), { type: "radio", name: "duration", value: "date" }),
    h("input", {
      type: "date",
      class: cls("input", "date"),
      name: "until",
      id,
      min: isoDay(Date.now() / 1000 + DAY),
      "aria-label": t(context, "duration.date"),
      hidden: !hasDate,
    }),
  );
}

/** A date as a date field has it. */
function isoDay(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}

function preview(context: ViewContext, database: string, plan: Preview): HTMLElement {
  return h(
    "section",
    { class: cls("preview"), role: "status", "data-key": "preview" },
    h("h4", {}, t(context, "wouldMake")),
    h(
      "ul",
      {},
      plan.colleagues.map((name) =>
        h("li", {}, `${name} · `, grantOf(context, `${database.split("/").at(-1) ?? ""}/${name}`, plan)),
      ),
    ),
    notes(context, plan.notes),
    fullText(context, "sqlWhole", plan.sql),
    fullText(context, "objectsWhole", plan.yaml),
  );
}

/** The access, the schemas and the expiry; of a share that there is already, what changes: "read-only → read-write". */
function grantOf(context: ViewContext, path: string, plan: Preview): Content {
  const before = context.store.get("share", path);
  const access = plan.read_write ? "read-write" : "read-only";
  const isSame = before?.scope.split(", ").sort().join() === [...plan.schemas].sort().join();
  const schemas = plan.schemas.join(", ");
  const until = t(context, "untilDate", { until: date(plan.until, context.language) });
  return [
    before && before.access !== access
      ? change(context, t(context, `access.${before.access}`), t(context, `access.${access}`))
      : t(context, `access.${access}`),
    " · ",
    before && !isSame ? change(context, before.scope, schemas) : schemas,
    " · ",
    changeOf(context, path, plan.until) ?? until,
  ];
}

/** The change of the expiry, if there is a share of that path, `DATABASE/COLLEAGUE`, already. */
export function changeOf(context: ViewContext, path: string, until: number): Content {
  const { language } = context;
  const before = context.store.get("share", path);
  return before && before.until !== until
    ? change(context, day(before.until, language), day(until, language))
    : null;
}

function change(context: ViewContext, before: string, after: string): HTMLElement {
  return h("strong", {}, t(context, "wouldChange", { before, after }));
}

/** The dangers and the first notes, and the others folded. */
export function notes(context: ViewContext, all: Note[]): Content {
  const listed = (some: Note[]) =>
    h(
      "ul",
      {},
      some.map(({ text, is_danger }) =>
        h("li", { class: is_danger ? null : cls("faint") }, is_danger && "⚠\u00a0", prose(text)),
      ),
    );
  const inSight = Math.max(NOTES, all.filter(({ is_danger }) => is_danger).length);
  const rest = all.slice(inSight);
  return [
    all.length > 0 && listed(all.slice(0, inSight)),
    rest.length > 0 &&
      h(
        "details",
        { class: cls("details"), "data-key": "notes" },
        h("summary", {}, t(context, "moreNotes", { count: rest.length })),
        listed(rest),
      ),
  ];
}

export function fullText(context: ViewContext, word: string, text: string): HTMLElement {
  return h(
    "details",
    { class: cls("details"), "data-key": word },
    h("summary", {}, t(context, word)),
    h("pre", { tabindex: "0", role: "group", "aria-label": t(context, word) }, text),
  );
}

export function shareResult(context: ViewContext, made: ShareResult): Content {
  return h(
    "div",
    { class: cls("stack"), "data-key": "made" },
    h("p", {}, shape("good"), " ", made.granted),
    h("p", {}, t(context, "sendLine")),
    h("p", { class: cls("address") }, h("code", {}, made.line), copyButton(context, made.line)),
    notes(context, made.notes),
    h(
      "div",
      { class: cls("row") },
      plainButton(t(context, "close"), { "data-close": "", class: cls("button", "main") }),
    ),
  );
}
