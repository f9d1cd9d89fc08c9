/** Read the command from a form. */

import { keys } from "./keys";
import type { Command, ServiceShareRequest, ShareRequest } from "./protocol";

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
      const asked = readDatabaseRequest(form);
      if (!asked.schemas.length || !asked.duration) return null;
      return step === "share"
        ? { command: { do: "share", ...asked }, key: keys.share(asked.database) }
        : { command: { do: "preview_share", ...asked }, key: keys.previewShare(asked.database) };
    }
    case "shareService": {
      const asked = readServiceRequest(form);
      if (!asked.duration) return null;
      return step === "share"
        ? { command: { do: "share_service", ...asked }, key: keys.share(asked.service) }
        : { command: { do: "preview_service_share", ...asked }, key: keys.previewShare(asked.service) };
    }
    default:
      return null;
  }
}

/** Whether a form asks for a share. */
export function isShareForm(form: HTMLFormElement): boolean {
  return form.dataset.form === "share" || form.dataset.form === "shareService";
}

/** Whether two share requests, each read from a form, ask for the same. */
export function isSameRequest(one: object | null, other: object | null): boolean {
  return one !== null && JSON.stringify(one) === JSON.stringify(other);
}

/** Return the share request in the form. */
export function readShareRequest(form: HTMLFormElement): ShareRequest | ServiceShareRequest {
  return form.dataset.form === "share" ? readDatabaseRequest(form) : readServiceRequest(form);
}

function readDatabaseRequest(form: HTMLFormElement): ShareRequest {
  return {
    database: form.dataset.database ?? "",
    colleagues: textOf(form, "colleagues"),
    write: chosen(form, "access") === "write",
    schemas: schemas(form),
    duration: durationOf(form),
  };
}

function readServiceRequest(form: HTMLFormElement): ServiceShareRequest {
  return {
    service: form.dataset.service ?? "",
    port: Number(chosen(form, "port")),
    colleagues: textOf(form, "colleagues"),
    via: chosen(form, "via") === "forward" ? "forward" : "network",
    duration: durationOf(form),
  };
}

function chosen(form: HTMLFormElement, name: string): string | undefined {
  return form.querySelector<HTMLInputElement>(`input[name="${name}"]:checked`)?.value;
}

/** The chosen duration; for a date, the hours until the end of that day. */
function durationOf(form: HTMLFormElement): string {
  const duration = chosen(form, "duration");
  if (duration !== "date") return duration ?? textOf(form, "duration");
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
