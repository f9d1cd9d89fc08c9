import { expect, test } from "vitest";
import type { ViewContext } from "../src/view/context";
import { h, type Content } from "../src/view/dom";
import { events, log } from "../src/view/dialogs/pods";
import { Store } from "../src/view/store";

const POD = "mon-api-abcdef-12345";

function shown(
  key: string,
  value: unknown,
  draw: (context: ViewContext, pod: string) => Content,
): HTMLElement {
  const store = new Store();
  store.markSent(`${key} ${POD}`, "1");
  if (value !== null) store.apply({ type: "reply", key: `${key} ${POD}`, id: "1", value });
  return h("div", {}, draw({ store, language: "en" } as ViewContext, POD));
}

test("a log is text, whatever it contains", () => {
  const text = "GET /\n<img src=x onerror=alert(1)>";
  const box = shown("log", { container: "main", text }, log);
  expect(box.querySelector("pre")?.textContent).toBe(text);
  expect(box.querySelector("img")).toBeNull();
  expect(box.textContent).toContain("container main");
  expect(box.querySelector("[data-insert]")?.getAttribute("data-insert")).toBe(`%k8s_logs ${POD} -f`);
});

test("an empty log is a sentence", () => {
  const box = shown("log", { container: "main", text: "" }, log);
  expect(box.querySelector("pre")).toBeNull();
  expect(box.textContent).toContain("main has written nothing");
});

test("events show their type, reason and message", () => {
  const event = ["Warning", "BackOff", 3, null, "Back-off <b>restarting</b>"];
  const box = shown("events", { events: [event], all: 250 }, events);
  expect(box.querySelector("th[scope=row]")?.textContent).toBe("BackOffBack-off <b>restarting</b>");
  expect(box.querySelector("tbody .jp-SSPCloudPanel-shape")?.getAttribute("data-tone")).toBe("bad");
  expect(box.textContent).toContain("250 events in all");
  expect(box.querySelector("[data-insert]")?.getAttribute("data-insert")).toBe(`%k8s_describe pod ${POD}`);
});

test("a first request shows that the cluster is asked", () => {
  expect(shown("events", null, events).textContent).toContain("Asking the cluster");
});
