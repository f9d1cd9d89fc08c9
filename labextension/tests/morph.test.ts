import { beforeEach, describe, expect, test } from "vitest";
import { h } from "../src/view/dom";
import { morph } from "../src/view/morph";

const list = (...keys: string[]) =>
  h(
    "ul",
    {},
    keys.map((key) => h("li", { "data-key": key }, h("button", {}, key))),
  );

describe("morph", () => {
  let live: HTMLElement;

  beforeEach(() => {
    live = list("a", "b", "c");
    document.body.replaceChildren(live);
  });

  test("keeps the elements that stay, in their new order", () => {
    const [a, b, c] = live.children;
    morph(live, list("c", "new", "a"));
    expect([...live.children].map((each) => each.textContent)).toEqual(["c", "new", "a"]);
    expect(live.children[0]).toBe(c);
    expect(live.children[2]).toBe(a);
    expect(b?.isConnected).toBe(false);
  });

  test("keeps the focus of a button whose row stays", () => {
    const button = live.querySelectorAll("button")[2];
    button?.focus();
    morph(live, list("b", "c"));
    expect(document.activeElement).toBe(button);
  });

  test("moves nodes without a key, never the focused one", () => {
    const form = (...above: HTMLElement[]) =>
      h("section", {}, h("h3", {}), ...above, h("form", { "data-key": "form" }, h("input", { name: "x" })));
    live = form(h("p", {}, "asking"));
    document.body.replaceChildren(live);
    const input = live.querySelector("input");
    input?.focus();
    const moved: Node[] = [];
    const watching = new MutationObserver((changes) =>
      moved.push(...changes.flatMap((each) => [...each.removedNodes])),
    );
    watching.observe(live, { childList: true });
    morph(live, form(h("div", { "data-key": "table" })));
    morph(live, form(h("p", {}, "nothing"), h("p", {}, "at all")));
    for (const change of watching.takeRecords()) moved.push(...change.removedNodes);
    expect([...live.children].map((each) => each.tagName)).toEqual(["H3", "P", "P", "FORM"]);
    expect(moved).not.toContain(input?.form);
    expect(document.activeElement).toBe(input);
    // Among rows that change places, the focused one stays.
    live = list("a", "b", "c");
    document.body.replaceChildren(live);
    live.querySelectorAll("button")[2]?.focus();
    morph(live, list("c", "a", "b"));
    expect(live.textContent).toBe("cab");
    expect(document.activeElement?.textContent).toBe("c");
  });

  test("keeps typed text", () => {
    live = h("form", {}, h("input", { "data-key": "name", class: "old" }));
    const input = live.querySelector("input");
    if (!input) throw new Error("no input");
    input.value = "user-alice/x";
    morph(live, h("form", {}, h("p", {}, "new"), h("input", { "data-key": "name", class: "new" })));
    expect(live.querySelector("input")).toBe(input);
    expect(input.value).toBe("user-alice/x");
    expect(input.className).toBe("new");
  });

  test("changes texts and attributes, and removes old ones", () => {
    const one = h("p", { class: "x", title: "gone" }, "before ", h("b", {}, "bold"), " after");
    const text = one.firstChild;
    morph(one, h("p", { class: "y" }, "behind ", h("i", {}, "slanted")));
    expect(one.outerHTML).toBe('<p class="y">behind <i>slanted</i></p>');
    expect(one.firstChild).toBe(text);
  });

  test("is the new tree, whatever the old one was", () => {
    const keys = ["a", "b", "c", "d", "e"];
    for (let round = 0; round < 200; round += 1) {
      const pick = keys.filter(() => Math.random() < 0.6).sort(() => Math.random() - 0.5);
      const next = list(...pick);
      const wanted = next.outerHTML;
      morph(live, next);
      expect(live.outerHTML).toBe(wanted);
    }
  });
});

test("of an element with data-part only the moving part changes", () => {
  const live = document.createElement("li");
  live.innerHTML = "<b>name</b><span><i data-moving>1</i></span><p>below</p>";
  const next = document.createElement("li");
  next.setAttribute("data-part", "");
  next.setAttribute("data-shows", "2");
  next.innerHTML = "<i data-moving>2</i>";
  morph(live, next);
  expect(live.innerHTML).toBe('<b>name</b><span><i data-moving="">2</i></span><p>below</p>');
  expect(live.getAttribute("data-shows")).toBe("2");
});

test("details that you have opened stay open", () => {
  const live = h("div", {}, h("details", { open: true }, h("summary", {}, "a")));
  morph(live, h("div", {}, h("details", {}, h("summary", {}, "b"))));
  expect(live.innerHTML).toBe('<details open=""><summary>b</summary></details>');
});
