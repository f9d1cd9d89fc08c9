/** Pods and services: what runs, and its ports as buttons. */

import { cls, h, type Content } from "../dom";
import type { Outcome, Port } from "../facts";
import { age } from "../format";
import { keys } from "../orders";
import { badge, faint, isLate, orderButton, outcome } from "../pieces";
import { namespace, t, type Scene } from "../scene";
import { drawn, empty, instead, labelled, more, row, section, steadyRow, table } from "../tables";

/** Things from which on there is a filter box. */
const MANY = 6;

export function services(scene: Scene): HTMLElement {
  const all = scene.store.all("service");
  const open = forwarded(scene, "svc");
  const found = chosen(scene, all);
  const rows = drawn(scene, "services", found).map(([name, service]) => {
    const standing = aged(scene, service.created);
    const ports = service.ports.map((port) => portOf(scene, open, "svc", name, port));
    return steadyRow(scene, `service ${name}`, [service, standing, ports], () =>
      row(
        `service ${name}`,
        [faint(service.type), name, portButtons(scene, ports), labelled(scene, "age", standing)],
        ports.map(({ key }) => outcome(scene, key)),
      ),
    );
  });
  const headings = ["state", "name", "ports", "age"];
  const body = things(scene, "services", all.length, rows, headings, "noServices");
  return section(scene, "services", filterBox(scene), body, more(scene, "services", found.length));
}

export function pods(scene: Scene): HTMLElement {
  const all = scene.store.all("pod");
  const open = forwarded(scene, "pod");
  const found = chosen(scene, all);
  const rows = drawn(scene, "pods", found).map(([name, pod]) => {
    const standing = aged(scene, pod.created);
    const ports = pod.ports.map((port) => portOf(scene, open, "pod", name, port));
    return steadyRow(scene, `pod ${name}`, [pod, standing, ports], () =>
      row(
        `pod ${name}`,
        [
          badge(pod.tone, pod.state),
          name,
          portButtons(scene, ports),
          labelled(scene, "restarts", String(pod.restarts)),
          labelled(scene, "age", standing),
        ],
        ports.map(({ key }) => outcome(scene, key)),
      ),
    );
  });
  const headings = ["state", "name", "ports", "restarts", "age"];
  const body = things(scene, "pods", all.length, rows, headings, "noPods");
  return section(scene, "pods", body, more(scene, "pods", found.length));
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

function aged(scene: Scene, created: number | null): string {
  return age(created, Date.now() / 1000, scene.language);
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

/** A port as it is drawn: whether it is forwarded, and what became of the click on it. */
interface PortShown {
  kind: string;
  name: string;
  port: Port;
  key: string;
  done: boolean;
  pending: boolean;
  late: boolean;
  ended: boolean;
  became: Outcome | undefined;
}

function portOf(scene: Scene, open: Set<string>, kind: string, name: string, port: Port): PortShown {
  const { store } = scene;
  const key = keys.forward(kind, name, port[0]);
  return {
    kind,
    name,
    port,
    key,
    done: open.has(`${name}:${port[0]}`),
    pending: store.isPending(key),
    late: isLate(scene, key),
    ended: store.ended,
    became: store.get("order", key),
  };
}

function portButtons(scene: Scene, ports: PortShown[]): Content {
  if (!ports.length) return faint(t(scene, "noPorts"));
  return h(
    "span",
    { class: cls("ports") },
    ports.map((port) => portButton(scene, port)),
  );
}

function portButton(scene: Scene, { kind, name, port: [port, label], key, done }: PortShown): HTMLElement {
  return orderButton(
    scene,
    [String(port), label && faint(` ${label}`), done && h("span", { "aria-hidden": "true" }, " ✓")],
    key,
    { do: "forward", kind, name, port },
    {
      class: cls("button", "port"),
      "aria-label": t(scene, done ? "forwarded" : "forwardPort", {
        port: label ? `${port} ${label}` : port,
        name,
      }),
      "aria-pressed": done && "true",
    },
  );
}

/** The states in which a port that was clicked may be used. */
const USABLE = ["active", "reconnecting"];

/** The ports of one's own namespace that are forwarded: `name:port`. */
function forwarded(scene: Scene, kind: string): Set<string> {
  const mine = `${namespace(scene)}/${kind}/`;
  const open = scene.store
    .all("forward")
    .filter(([, forward]) => forward.target.startsWith(mine) && USABLE.includes(forward.state));
  return new Set(
    open.flatMap(([, { target, ports }]) =>
      ports.map(([, remote]) => `${target.slice(mine.length)}:${remote}`),
    ),
  );
}
