/** The small things that sections are made of: badges, buttons, sentences, errors. */

import { cls, h, type Attributes, type Content } from "./dom";
import type { Dialog } from "./dialogs";
import type { ForwardState, Tone, Trouble } from "./facts";
import type { Order } from "./orders";
import { t, type Scene } from "./scene";
import { errorsInFrench, isWord } from "./words";

/** Milliseconds after which a kernel that says nothing is said to be silent. */
export const SILENT = 2_500;

const SHAPES: Record<Tone, string> = { good: "●", waiting: "◐", bad: "✕", over: "○" };

export const FORWARD_TONES: Record<ForwardState, Tone> = {
  starting: "waiting",
  active: "good",
  reconnecting: "waiting",
  stopped: "over",
  failed: "bad",
};

/** A state: by colour, by shape and by its word. */
export function badge(tone: Tone, word: string): HTMLElement {
  return h("span", { class: cls("state"), "data-tone": tone }, shape(tone), " ", word);
}

export function shape(tone: Tone, sign: string = SHAPES[tone]): HTMLElement {
  return h("span", { class: cls("shape"), "data-tone": tone, "aria-hidden": "true" }, sign);
}

export function faint(...content: Content[]): HTMLElement {
  return h("span", { class: cls("faint") }, content);
}

/** A button that does something in the page; what it does is said by its attributes (`actions.ts`). */
export function plainButton(content: Content, attributes: Attributes): HTMLElement {
  return h(
    "button",
    { type: "button", class: cls("button"), ...attributes },
    h("span", { class: cls("face") }, content),
  );
}

/** A button that gives an order; while this is pending, it says so and does nothing. */
export function orderButton(
  scene: Scene,
  content: Content,
  key: string,
  order: Order,
  attributes: Attributes = {},
): HTMLElement {
  const pending = scene.store.isPending(key);
  return plainButton(content, {
    "data-key": `order ${key}`,
    "data-order": JSON.stringify(order),
    "data-name": key,
    "aria-busy": pending && "true",
    "aria-disabled": (pending || scene.store.ended) && "true",
    ...attributes,
  });
}

/** A question before an order that cannot be undone; `yes` is its button, `no` the word of the other. */
export function question(scene: Scene, name: string, sentence: string, yes: Content, no: string): Content {
  return (
    scene.question === name &&
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

/** The button that opens a question, and closes it again. */
export function questionButton(
  scene: Scene,
  content: Content,
  name: string,
  label: string,
  key: string,
): HTMLElement {
  return plainButton(content, {
    "data-question": name,
    "aria-expanded": String(scene.question === name),
    "aria-label": label,
    "aria-busy": scene.store.isPending(key) && "true",
  });
}

export function copyButton(scene: Scene, text: string, word = "copy"): HTMLElement {
  const copied = scene.copied === text;
  return plainButton(t(scene, copied ? "copied" : word), {
    class: cls("button", "quiet"),
    "data-copy": text,
    "data-key": `copy ${text}`,
    "aria-label": copied ? t(scene, "copied") : `${t(scene, word)}: ${text}`,
  });
}

/** A button that opens a dialog. */
export function dialogButton(
  scene: Scene,
  word: string,
  dialog: Dialog,
  attributes: Attributes = {},
): HTMLElement {
  return plainButton(t(scene, word), {
    "data-dialog": JSON.stringify(dialog),
    "data-key": `dialog ${JSON.stringify(dialog)}`,
    "aria-haspopup": "dialog",
    ...attributes,
  });
}

/** A button that sends its form; `key` is its order's. */
export function submitButton(
  scene: Scene,
  word: string,
  key: string,
  attributes: Attributes = {},
): HTMLElement {
  const pending = scene.store.isPending(key);
  return h(
    "button",
    {
      type: "submit",
      class: cls("button"),
      "data-name": key,
      "aria-busy": pending && "true",
      "aria-disabled": (pending || scene.store.ended) && "true",
      ...attributes,
    },
    h("span", { class: cls("face") }, t(scene, word)),
  );
}

/** A text to fill in, with its label. */
export function field(
  scene: Scene,
  name: string,
  word: string,
  attributes: Attributes = {},
  hint: Content = null,
): HTMLElement {
  const id = `${scene.id}-${name}`;
  return h(
    "div",
    { class: cls("field"), "data-key": `field ${name}` },
    h("label", { for: id }, t(scene, word)),
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

/** Whether an order was given a while ago, and nobody has taken it. */
export function isLate(scene: Scene, key: string): boolean {
  const given = scene.store.given.get(key);
  return given !== undefined && Date.now() - given > SILENT;
}

/** Why an order failed, or that nobody answers; nothing where all is well. */
export function outcome(scene: Scene, key: string): Content {
  if (isLate(scene, key)) {
    return h("p", { class: cls("note"), "data-key": `slow ${key}` }, t(scene, "silent"));
  }
  const error = scene.store.get("order", key)?.error;
  if (!error) return null;
  return h(
    "div",
    { class: cls("failure"), role: "alert", "data-key": `failed ${key}` },
    trouble(scene, error),
  );
}

/** What went wrong, why, and what to do next. */
export function trouble(scene: Scene, error: Trouble): Content {
  const french = scene.language === "fr";
  const step = `step.${error.code}`;
  const steps = isWord(step) ? [t(scene, step)] : error.mend.split("\n").filter(Boolean);
  const english = french ? "en" : null;
  const said = french
    ? (errorsInFrench[error.code] ?? errorsInFrench[error.family] ?? errorsInFrench.SspcloudError)
    : error.what;
  return [
    h("p", { class: cls("what") }, shape("bad"), " ", said),
    french && h("p", { class: cls("faint"), lang: "en" }, error.what),
    error.why && h("p", { class: cls("faint"), lang: english }, error.why),
    steps.map((line) =>
      h("p", { class: cls("step"), lang: isWord(step) ? null : english }, "→ ", prose(line)),
    ),
  ];
}

/** A command up to three blanks, or behind a colon: the rest is what surrounds it. */
const WHOLE_COMMANDS = [/^()(%.+?) {3}(.*)$/, /^(.*: )(%.+)()$/];
/** A command inside a sentence: as far as it looks like one. */
const COMMAND = /(%\w+(?: (?:--?\w+|[A-ZÈ.]{2,}|[\w.-]*[-./][\w./-]*\w|\d\w+))*)/;

/** A sentence in which commands are set as code. */
export function prose(text: string): Content {
  for (const pattern of WHOLE_COMMANDS) {
    const [, before, command, after] = pattern.exec(text) ?? [];
    if (command) return [before, h("code", {}, command), after && ` ${after}`];
  }
  return text.split(COMMAND).map((piece, index) => (index % 2 ? h("code", {}, piece) : piece));
}
