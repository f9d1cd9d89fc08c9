/** Read the command from a form. */

import { keys } from "./keys";
import type { Command, ShareRequest } from "./protocol";

export interface FormCommand {
  command: Command;
  key: string;
}

/** Return the command of a form with the key of its button; null if the form is incomplete. */
export function readForm(form: HTMLFormElement, step: string): FormCommand | null {
  const text = (name: string) => textOf(form, name);
  switch (form.dataset.form) {
    case "connect":
      return text("database")
        ? { command: { do: "connect", database: text("database") }, key: keys.connectNamed }
        : null;
    case "script":
      return text("script") ? { command: { do: "log_in", script: text("script") }, key: keys.logIn } : null;
    case "namespace":
      return text("namespace")
        ? { command: { do: "use_namespace", namespace: text("namespace") }, key: keys.namespace }
        : null;
    case "share": {
      const asked = readShareRequest(form);
      if (!asked.schemas.length || !asked.duration) return null;
      return step === "share"
        ? { command: { do: "share", ...asked }, key: keys.share(asked.database) }
        : { command: { do: "preview_share", ...asked }, key: keys.previewShare(asked.database) };
    }
    default:
      return null;
  }
}

/** Whether two share requests ask for the same. */
export function isSameRequest(one: ShareRequest | null, other: ShareRequest | null): boolean {
  return (
    one !== null &&
    other !== null &&
    one.database === other.database &&
    one.colleagues === other.colleagues &&
    one.write === other.write &&
    one.duration === other.duration &&
    String(one.schemas) === String(other.schemas)
  );
}

/** Return the share request in the form. */
export function readShareRequest(form: HTMLFormElement): ShareRequest {
  return {
    database: form.dataset.database ?? "",
    colleagues: textOf(form, "colleagues"),
    write: form.querySelector<HTMLInputElement>('input[name="access"]:checked')?.value === "write",
    schemas: schemas(form),
    duration: durationOf(form),
  };
}

/** The chosen duration; for a date, the hours until the end of that day. */
function durationOf(form: HTMLFormElement): string {
  const chosen = form.querySelector<HTMLInputElement>('input[name="duration"]:checked')?.value;
  if (chosen !== "date") return chosen ?? textOf(form, "duration");
  const until = textOf(form, "until");
  if (!until) return "";
  const hours = Math.ceil((new Date(`${until}T23:59:59`).getTime() - Date.now()) / 3_600_000);
  return `${Math.max(1, hours)}h`;
}

/** The selected schemas, or the typed names where the list is unknown. Every box selected, or no name typed, means all. */
function schemas(form: HTMLFormElement): ShareRequest["schemas"] {
  const boxes = [...form.querySelectorAll<HTMLInputElement>('input[name="schema"]')];
  const ticked = boxes.filter((box) => box.checked).map((box) => box.value);
  if (boxes.length) return ticked.length === boxes.length ? "all" : ticked;
  const named = textOf(form, "schemas")
    .split(/[\s,;]+/)
    .filter(Boolean);
  return named.length ? named : "all";
}

function textOf(form: HTMLFormElement, name: string): string {
  const found = form.querySelector<HTMLInputElement | HTMLTextAreaElement>(`[name="${name}"]`);
  return found?.value.trim() ?? "";
}
