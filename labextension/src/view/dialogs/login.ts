import { cls, h, type Content } from "../dom";
import { keys } from "../keys";
import { field, outcome, submitButton } from "../components";
import { t, type ViewContext } from "../context";

/** The login dialog: a pasted or chosen login script goes to the kernel at once. */
export function login(context: ViewContext): Content {
  const page = context.store.single("platform")?.account;
  const id = `${context.id}-script`;
  const link = { href: page, target: "_blank", rel: "noopener noreferrer" };
  return [
    h("p", {}, t(context, "logInHow"), " ", page && h("a", link, t(context, "accountPage"))),
    h(
      "form",
      { class: cls("stack"), "data-form": "script", "data-key": "script", autocomplete: "off" },
      h(
        "div",
        { class: cls("field") },
        h("label", { for: id }, t(context, "script")),
        h("textarea", {
          class: cls("input", "paste"),
          name: "script",
          id,
          rows: 3,
          autocomplete: "off",
          autocapitalize: "off",
          spellcheck: "false",
          placeholder: "kubectl config set-cluster …",
          "aria-describedby": `${id}-hint`,
          "data-paste": "",
        }),
        h("p", { class: cls("faint", "hint"), id: `${id}-hint` }, t(context, "scriptHint")),
      ),
      h(
        "div",
        { class: cls("row") },
        submitButton(context, "logIn", keys.logIn, { class: cls("button", "main") }),
      ),
    ),
    outcome(context, keys.logIn),
    h(
      "details",
      { class: cls("details"), "data-key": "file" },
      h("summary", {}, t(context, "orFile")),
      h(
        "form",
        { class: cls("stack"), "data-form": "file" },
        field(context, "file", "file", { type: "file", "data-script-file": "" }, t(context, "fileHint")),
      ),
    ),
  ];
}
