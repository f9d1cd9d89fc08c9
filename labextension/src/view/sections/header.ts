import { cls, h } from "../dom";
import { prose, shape } from "../pieces";
import { t, type Scene } from "../scene";

/** Who one is, where, and which configuration says so. */
export function header(scene: Scene): HTMLElement {
  const who = scene.store.one("who");
  return h(
    "header",
    { class: cls("header"), "data-key": "header" },
    mark(),
    h(
      "div",
      { class: cls("who") },
      h("strong", {}, who ? who.user || t(scene, "unnamed") : "SSPCloud"),
      who &&
        h(
          "div",
          { class: cls("facts") },
          fact(t(scene, "namespace"), who.namespace),
          fact(t(scene, "server"), who.server),
          fact(t(scene, "source"), who.source),
        ),
      who?.warning &&
        h(
          "p",
          { class: cls("step") },
          shape("waiting", "▲"),
          " ",
          h("span", { lang: "en" }, prose(who.warning)),
        ),
    ),
  );
}

function fact(label: string, text: string): HTMLElement {
  return h("span", { class: cls("fact") }, h("span", { class: cls("faint") }, label, " "), text);
}

function mark(): HTMLElement {
  return h(
    "svg",
    { viewBox: "0 0 24 24", class: cls("mark"), "aria-hidden": "true" },
    h("path", {
      d: "M7 18.5h10.2a4.3 4.3 0 0 0 .5-8.6A6 6 0 0 0 6.2 10 4.3 4.3 0 0 0 7 18.5Z",
      class: cls("cloud"),
    }),
    h("path", { d: "M12 21.5v-8m-2.8 2.6 2.8-2.8 2.8 2.8", class: cls("arrow") }),
  );
}
