import { cls, h, type Content } from "../dom";
import { keys } from "../orders";
import { field, outcome, submitButton } from "../pieces";
import { t, type Scene } from "../scene";

/** Logging in: the account page's script, which goes to the kernel as soon as it is pasted or its file is chosen. */
export function login(scene: Scene): Content {
  const page = scene.store.one("account")?.page;
  const id = `${scene.id}-script`;
  const link = { href: page, target: "_blank", rel: "noopener noreferrer" };
  return [
    h("p", {}, t(scene, "logInHow"), " ", page && h("a", link, t(scene, "accountPage"))),
    h(
      "form",
      { class: cls("stack"), "data-form": "script", "data-key": "script", autocomplete: "off" },
      h(
        "div",
        { class: cls("field") },
        h("label", { for: id }, t(scene, "script")),
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
        h("p", { class: cls("faint", "hint"), id: `${id}-hint` }, t(scene, "scriptHint")),
      ),
      h(
        "div",
        { class: cls("row") },
        submitButton(scene, "logIn", keys.logIn, { class: cls("button", "main") }),
      ),
    ),
    outcome(scene, keys.logIn),
    h(
      "details",
      { class: cls("details"), "data-key": "file" },
      h("summary", {}, t(scene, "orFile")),
      h(
        "form",
        { class: cls("stack"), "data-form": "file" },
        field(scene, "file", "file", { type: "file", "data-script-file": "" }, t(scene, "fileHint")),
      ),
    ),
  ];
}
