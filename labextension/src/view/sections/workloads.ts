/** Pods and services, with their ports as buttons. */

import { cls, h, type Content } from "../dom";
import type { Outcome, Port } from "../protocol";
import { age } from "../format";
import { keys } from "../keys";
import { badge, faint, isLate, commandButton, outcome } from "../components";
import { currentNamespace, t, type ViewContext } from "../context";
import {
  visibleRows,
  empty,
  placeholder,
  labelledCell,
  showMore,
  row,
  section,
  steadyRow,
  table,
} from "../tables";

/** Number of pods and services from which there is a filter box. */
const MANY = 6;

export function services(context: ViewContext): HTMLElement {
  const all = context.store.all("service");
  const open = listForwardedPorts(context, "svc");
  const found = filterByName(context, all);
  const rows = visibleRows(context, "services", found).map(([name, service]) => {
    const standing = formatAge(context, service.created);
    const ports = service.ports.map((port) => portOf(context, open, "svc", name, port));
    return steadyRow(context, `service ${name}`, [service, standing, ports], () =>
      row(
        `service ${name}`,
        [faint(service.type), name, portButtons(context, ports), labelledCell(context, "age", standing)],
        ports.map(({ key }) => outcome(context, key)),
      ),
    );
  });
  const headings = ["state", "name", "ports", "age"];
  const body = workloadTable(context, "services", all.length, rows, headings, "noServices");
  return section(context, "services", filterBox(context), body, showMore(context, "services", found.length));
}

export function pods(context: ViewContext): HTMLElement {
  const all = context.store.all("pod");
  const open = listForwardedPorts(context, "pod");
  const found = filterByName(context, all);
  const rows = visibleRows(context, "pods", found).map(([name, pod]) => {
    const standing = formatAge(context, pod.created);
    const ports = pod.ports.map((port) => portOf(context, open, "pod", name, port));
    return steadyRow(context, `pod ${name}`, [pod, standing, ports], () =>
      row(
        `pod ${name}`,
        [
          badge(pod.tone, pod.state),
          name,
          portButtons(context, ports),
          labelledCell(context, "restarts", String(pod.restarts)),
          labelledCell(context, "age", standing),
        ],
        ports.map(({ key }) => outcome(context, key)),
      ),
    );
  });
  const headings = ["state", "name", "ports", "restarts", "age"];
  const body = workloadTable(context, "pods", all.length, rows, headings, "noPods");
  return section(context, "pods", body, showMore(context, "pods", found.length));
}

function filterByName<Fact>(context: ViewContext, all: [string, Fact][]): [string, Fact][] {
  return all.filter(([name]) => name.includes(context.filter.trim()));
}

function workloadTable(
  context: ViewContext,
  name: string,
  count: number,
  rows: HTMLElement[],
  headings: string[],
  none: string,
): HTMLElement {
  const there = placeholder(context, name, count, t(context, none, { namespace: currentNamespace(context) }));
  if (there) return there;
  if (!rows.length) return empty(t(context, "noMatch", { name: context.filter.trim() }));
  return table(context, name, headings, rows);
}

function formatAge(context: ViewContext, created: number | null): string {
  return age(created, Date.now() / 1000, context.language);
}

function filterBox(context: ViewContext): Content {
  const { store, filter } = context;
  if (store.all("pod").length + store.all("service").length < MANY && !filter) return null;
  const label = t(context, "filter");
  return h("input", {
    type: "search",
    class: cls("input"),
    "data-key": "filter",
    "data-filter": "",
    placeholder: label,
    "aria-label": label,
  });
}

/** The data of a port button: whether the port is forwarded, and the outcome of the click. */
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

function portOf(context: ViewContext, open: Set<string>, kind: string, name: string, port: Port): PortShown {
  const { store } = context;
  const key = keys.forward(kind, name, port[0]);
  return {
    kind,
    name,
    port,
    key,
    done: open.has(`${name}:${port[0]}`),
    pending: store.isPending(key),
    late: isLate(context, key),
    ended: store.ended,
    became: store.get("command", key),
  };
}

function portButtons(context: ViewContext, ports: PortShown[]): Content {
  if (!ports.length) return faint(t(context, "noPorts"));
  return h(
    "span",
    { class: cls("ports") },
    ports.map((port) => portButton(context, port)),
  );
}

function portButton(
  context: ViewContext,
  { kind, name, port: [port, label], key, done }: PortShown,
): HTMLElement {
  return commandButton(
    context,
    [String(port), label && faint(` ${label}`), done && h("span", { "aria-hidden": "true" }, " ✓")],
    key,
    { do: "forward", kind, name, port },
    {
      class: cls("button", "port"),
      "aria-label": t(context, done ? "forwarded" : "forwardPort", {
        port: label ? `${port} ${label}` : port,
        name,
      }),
      "aria-pressed": done && "true",
    },
  );
}

/** The states in which a forward is usable. */
const USABLE = ["active", "reconnecting"];

/** List the forwarded ports of the current namespace: `name:port`. */
function listForwardedPorts(context: ViewContext, kind: string): Set<string> {
  const mine = `${currentNamespace(context)}/${kind}/`;
  const open = context.store
    .all("forward")
    .filter(([, forward]) => forward.target.startsWith(mine) && USABLE.includes(forward.state));
  return new Set(
    open.flatMap(([, { target, ports }]) =>
      ports.map(([, remote]) => `${target.slice(mine.length)}:${remote}`),
    ),
  );
}
