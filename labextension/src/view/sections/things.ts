/** Pods and services: what runs, and its ports as buttons. */

import { cls, h, type Content } from "../dom";
import type { Port } from "../facts";
import { age } from "../format";
import { keys } from "../orders";
import { badge, faint, orderButton, outcome } from "../pieces";
import { namespace, t, type Scene } from "../scene";
import { empty, instead, labelled, row, section, table } from "../tables";

/** Things from which on there is a filter box. */
const MANY = 6;

export function services(scene: Scene): HTMLElement {
  const all = scene.store.all("service");
  const rows = chosen(scene, all).map(([name, service]) => {
    const { cell, below } = ports(scene, "svc", name, service.ports);
    return row(`service ${name}`, [faint(service.type), name, cell, aged(scene, service.created)], below);
  });
  const body = things(scene, "services", all.length, rows, ["state", "name", "ports", "age"], "noServices");
  return section(scene, "services", filterBox(scene), body);
}

export function pods(scene: Scene): HTMLElement {
  const all = scene.store.all("pod");
  const rows = chosen(scene, all).map(([name, pod]) => {
    const { cell, below } = ports(scene, "pod", name, pod.ports);
    const restarts = labelled(scene, "restarts", String(pod.restarts));
    const cells = [badge(pod.tone, pod.state), name, cell, restarts, aged(scene, pod.created)];
    return row(`pod ${name}`, cells, below);
  });
  const headings = ["state", "name", "ports", "restarts", "age"];
  return section(scene, "pods", things(scene, "pods", all.length, rows, headings, "noPods"));
}

function chosen<Fact>(scene: Scene, all: [string, Fact][]): [string, Fact][] {
  return all.filter(([name]) => name.includes(scene.filter.trim()));
}

function things(
  scene: Scene,
  name: string,
  count: number,
  rows: HTMLElement[],
  headings: string[],
  none: string,
): HTMLElement {
  const there = instead(scene, name, count, t(scene, none, { namespace: namespace(scene) }));
  if (there) return there;
  if (!rows.length) return empty(t(scene, "noMatch", { name: scene.filter.trim() }));
  return table(scene, name, headings, rows);
}

function aged(scene: Scene, created: number | null): HTMLElement {
  return labelled(scene, "age", age(created, Date.now() / 1000, scene.language));
}

function filterBox(scene: Scene): Content {
  const { store, filter } = scene;
  if (store.all("pod").length + store.all("service").length < MANY && !filter) return null;
  const label = t(scene, "filter");
  return h("input", {
    type: "search",
    class: cls("input"),
    "data-key": "filter",
    "data-filter": "",
    placeholder: label,
    "aria-label": label,
  });
}

function ports(scene: Scene, kind: string, name: string, all: Port[]): { cell: Content; below: Content } {
  if (!all.length) return { cell: faint(t(scene, "noPorts")), below: null };
  return {
    cell: h(
      "span",
      { class: cls("ports") },
      all.map((port) => portButton(scene, kind, name, port)),
    ),
    below: all.map(([port]) => outcome(scene, keys.forward(kind, name, port))),
  };
}

function portButton(scene: Scene, kind: string, name: string, [port, label]: Port): HTMLElement {
  const done = isForwarded(scene, `${namespace(scene)}/${kind}/${name}`, port);
  return orderButton(
    scene,
    [String(port), label && faint(` ${label}`), done && h("span", { "aria-hidden": "true" }, " ✓")],
    keys.forward(kind, name, port),
    { do: "forward", kind, name, port },
    {
      class: cls("button", "port"),
      "aria-label": t(scene, done ? "forwarded" : "forwardPort", { port, name }),
      "aria-pressed": done && "true",
    },
  );
}

function isForwarded(scene: Scene, target: string, port: number): boolean {
  return scene.store
    .all("forward")
    .some(
      ([, forward]) =>
        forward.target === target &&
        forward.state !== "failed" &&
        forward.ports.some(([, remote]) => remote === port),
    );
}
