/** Small components of the sections: badges, buttons, sentences, errors. */

import { cls, h, type Attributes, type Content } from "./dom";
import type { Dialog } from "./dialog";
import type { Command, ErrorMessage, ForwardState, Tone } from "./protocol";
import { t, type ViewContext } from "./context";
import { isMessageKey } from "./i18n";

/** Milliseconds without a reply after which the panel calls the kernel silent. */
export const SILENT = 2_500;

const SHAPES: Record<Tone, string> = { good: "●", waiting: "◐", bad: "✕", over: "○" };

export const FORWARD_TONES: Record<ForwardState, Tone> = {
  starting: "waiting",
  active: "good",
  reconnecting: "waiting",
  stopped: "over",
  failed: "bad",
};

/** A state, as colour, shape and word. */
export function badge(tone: Tone, word: string): HTMLElement {
  return h("span", { class: cls("state"), "data-tone": tone }, shape(tone), " ", word);
}

export function shape(tone: Tone, sign: string = SHAPES[tone]): HTMLElement {
  return h("span", { class: cls("shape"), "data-tone": tone, "aria-hidden": "true" }, sign);
}

export function faint(...content: Content[]): HTMLElement {
  return h("span", { class: cls("faint") }, content);
}

/** A button whose attributes name its action in the page (`view.ts` reads them). */
export function plainButton(content: Content, attributes: Attributes): HTMLElement {
  return h(
    "button",
    { type: "button", class: cls("button"), ...attributes },
    h("span", { class: cls("face") }, content),
  );
}

/** The attributes of a button that sends a command; while the command is pending, it is busy and disabled. */
export function commandAttributes(context: ViewContext, key: string, command: Command): Attributes {
  const pending = context.store.isPending(key);
  return {
    "data-key": `command ${key}`,
    "data-command": JSON.stringify(command),
    "data-name": key,
    "aria-busy": pending && "true",
    "aria-disabled": (pending || context.store.ended) && "true",
  };
}

export function commandButton(
  context: ViewContext,
  content: Content,
  key: string,
  command: Command,
  attributes: Attributes = {},
): HTMLElement {
  return plainButton(content, { ...commandAttributes(context, key, command), ...attributes });
}

/** A confirmation before an irreversible command; `yes` is its button, `no` the text of the other button. */
export function question(
  context: ViewContext,
  name: string,
  sentence: string,
  yes: Content,
  no: string,
): Content {
  return (
    context.question === name &&
    h(
      "div",
      { class: cls("question"), role: "group", "data-key": `question ${name}`, "aria-label": sentence },
      h("p", {}, sentence),
      yes,
      " ",
      plainButton(no, { "data-question": "", "data-keep": "" }),
    )
  );
}

/** The attributes of a button that opens and closes a confirmation. */
export function questionAttributes(context: ViewContext, name: string, key: string): Attributes {
  return {
    "data-question": name,
    "aria-expanded": String(context.question === name),
    "aria-busy": context.store.isPending(key) && "true",
  };
}

export function questionButton(
  context: ViewContext,
  content: Content,
  name: string,
  label: string,
  key: string,
): HTMLElement {
  return plainButton(content, {
    class: cls("button", "quiet"),
    ...questionAttributes(context, name, key),
    "aria-label": label,
  });
}

/** The attributes of a button that copies a text. */
export function copyAttributes(context: ViewContext, text: string): Attributes {
  return { "data-copy": text, "data-key": `copy ${text}`, "data-copied": context.copied === text };
}

export function copyButton(context: ViewContext, text: string, word = "copy"): HTMLElement {
  const copied = context.copied === text;
  return plainButton(t(context, copied ? "copied" : word), {
    class: cls("button", "quiet"),
    "data-copy": text,
    "data-key": `copy ${text}`,
    "aria-label": copied ? t(context, "copied") : `${t(context, word)}: ${text}`,
  });
}

/** The attributes of a button that opens a dialog. */
export function dialogAttributes(dialog: Dialog): Attributes {
  const text = JSON.stringify(dialog);
  return { "data-dialog": text, "data-key": `dialog ${text}`, "aria-haspopup": "dialog" };
}

/** A button that opens a dialog. */
export function dialogButton(
  context: ViewContext,
  word: string,
  dialog: Dialog,
  attributes: Attributes = {},
): HTMLElement {
  return plainButton(t(context, word), { ...dialogAttributes(dialog), ...attributes });
}

/** A button that submits its form; `key` is the key of its command. */
export function submitButton(
  context: ViewContext,
  word: string,
  key: string,
  attributes: Attributes = {},
): HTMLElement {
  const pending = context.store.isPending(key);
  return h(
    "button",
    {
      type: "submit",
      class: cls("button"),
      "data-name": key,
      "aria-busy": pending && "true",
      "aria-disabled": (pending || context.store.ended) && "true",
      ...attributes,
    },
    h("span", { class: cls("face") }, t(context, word)),
  );
}

/** A text field with its label. */
export function field(
  context: ViewContext,
  name: string,
  word: string,
  attributes: Attributes = {},
  hint: Content = null,
): HTMLElement {
  const id = `${context.id}-${name}`;
  return h(
    "div",
    { class: cls("field"), "data-key": `field ${name}` },
    h("label", { for: id }, t(context, word)),
    h("input", {
      type: "text",
      class: cls("input"),
      name,
      id,
      autocomplete: "off",
      spellcheck: "false",
      autocapitalize: "off",
      "aria-describedby": hint ? `${id}-hint` : null,
      ...attributes,
    }),
    hint && h("p", { class: cls("faint", "hint"), id: `${id}-hint` }, hint),
  );
}

/** Whether the kernel has not accepted a command in time. */
export function isLate(context: ViewContext, key: string): boolean {
  const given = context.store.sentAt.get(key);
  return given !== undefined && Date.now() - given > SILENT;
}

/** The error of a failed command, or a notice that the kernel is silent; otherwise nothing. */
export function outcome(context: ViewContext, key: string): Content {
  if (isLate(context, key)) {
    return h("p", { class: cls("note"), "data-key": `slow ${key}` }, t(context, "silent"));
  }
  const error = context.store.get("command", key)?.error;
  if (!error) return null;
  return h(
    "div",
    { class: cls("failure"), role: "alert", "data-key": `failed ${key}` },
    trouble(context, error),
  );
}

/** An error: what, why, and the hints. */
export function trouble(context: ViewContext, error: ErrorMessage): Content {
  const step = `step.${error.code}`;
  const steps = isMessageKey(step) ? [t(context, step)] : error.hint.split("\n").filter(Boolean);
  return [
    h("p", { class: cls("what") }, shape("bad"), " ", error.what),
    error.why && h("p", { class: cls("faint") }, error.why),
    steps.map((line) => h("p", { class: cls("step") }, "→ ", prose(line))),
  ];
}

/** A magic that ends at three blanks or follows a colon, with the text around it. */
const WHOLE_COMMANDS = [/^()(%.+?) {3}(.*)$/, /^(.*: )(%.+)()$/];
/** A magic inside a sentence, with the arguments that look like its own. */
const COMMAND = /(%\w+(?: (?:--?\w+|[A-ZÈ.]{2,}|[\w.-]*[-./][\w./-]*\w|\d\w+))*)/;

/** A sentence with its magics set as code. */
export function prose(text: string): Content {
  for (const pattern of WHOLE_COMMANDS) {
    const [, before, command, after] = pattern.exec(text) ?? [];
    if (command) return [before, h("code", {}, command), after && ` ${after}`];
  }
  return text.split(COMMAND).map((piece, index) => (index % 2 ? h("code", {}, piece) : piece));
}
