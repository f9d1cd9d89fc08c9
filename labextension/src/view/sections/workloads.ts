/** Pods and services, with their ports as buttons. */

import { cls, h, type Content } from "../dom";
import type { Outcome, Port } from "../protocol";
import { age } from "../format";
import { keys } from "../keys";
import { commandAttributes, dialogAttributes, faint, isLate, commandButton, outcome } from "../components";
import { currentNamespace, t, type ViewContext } from "../context";
import {
  empty,
  filterBox,
  filtered,
  item,
  knownCount,
  list,
  placeholder,
  section,
  showMore,
  steadyItem,
  visibleItems,
  type Action,
} from "../items";

export function services(context: ViewContext): HTMLElement {
  const all = context.store.all("service");
  const open = listForwardedPorts(context, "svc");
  const found = filtered(context, "services", all, ([name]) => name);
  const rows = visibleItems(context, "services", found).map(([name, service]) => {
    const shownAge = formatAge(context, service.created);
    const ports = service.ports.map((port) => portOf(context, open, "svc", name, port));
    return steadyItem(context, `service ${name}`, [service, shownAge, ports, currentNamespace(context)], () =>
      item(context, `service ${name}`, {
        title: name,
        meta: h("span", { title: t(context, "age") }, shownAge),
        buttons: firstPort(context, ports),
        menu: [...otherPorts(context, ports), ports.length > 0 && shareAction(context, name)],
        below: ports.map(({ key }) => outcome(context, key)),
      }),
    );
  });
  return workloads(context, "services", all.length, found.length, rows, "noServices");
}

export function pods(context: ViewContext): HTMLElement {
  const all = context.store.all("pod");
  const open = listForwardedPorts(context, "pod");
  const found = filtered(context, "pods", all, ([name]) => name);
  const rows = visibleItems(context, "pods", found).map(([name, pod]) => {
    const shownAge = formatAge(context, pod.created);
    const ports = pod.ports.map((port) => portOf(context, open, "pod", name, port));
    return steadyItem(context, `pod ${name}`, [pod, shownAge, ports], () =>
      item(context, `pod ${name}`, {
        tone: pod.tone,
        state: pod.state,
        title: name,
        meta: [
          pod.restarts > 0 &&
            h(
              "span",
              { class: cls("number"), title: t(context, "restarts") },
              `↻\u00a0${String(pod.restarts)}`,
            ),
          h("span", { class: cls("number"), title: t(context, "age") }, shownAge),
        ],
        buttons: firstPort(context, ports),
        menu: [...otherPorts(context, ports), ...podDialogs(context, name)],
        below: ports.map(({ key }) => outcome(context, key)),
      }),
    );
  });
  return workloads(context, "pods", all.length, found.length, rows, "noPods");
}

function workloads(
  context: ViewContext,
  name: "pods" | "services",
  count: number,
  found: number,
  rows: HTMLElement[],
  none: string,
): HTMLElement {
  const sentence = t(context, none, { namespace: currentNamespace(context) });
  const filter = (context.filters.get(name) ?? "").trim();
  return section(
    context,
    name,
    knownCount(context, name, count),
    placeholder(context, name, count, sentence) ?? [
      filterBox(context, name, count),
      rows.length ? list(context, name, rows) : empty(t(context, "noMatch", { name: filter })),
      showMore(context, name, found),
    ],
  );
}

function formatAge(context: ViewContext, created: number | null): string {
  return age(created, Date.now() / 1000, context.language);
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

/** The first port as a button; the others are in the menu. */
function firstPort(context: ViewContext, ports: PortShown[]): Content {
  const [first] = ports;
  if (!first) return h("span", { class: cls("buttons", "ports") });
  const {
    kind,
    name,
    port: [port, label],
    key,
    done,
  } = first;
  const button = commandButton(
    context,
    [String(port), label && faint(` ${label}`), done && h("span", { "aria-hidden": "true" }, " ✓")],
    key,
    { do: "forward", kind, name, port },
    {
      class: cls("button", "port"),
      "aria-label": portName(context, first),
      title: portName(context, first),
      "aria-pressed": done && "true",
    },
  );
  return h("span", { class: cls("buttons", "ports") }, button);
}

function portName(context: ViewContext, { name, port: [port, label], done }: PortShown): string {
  const text = label ? `${String(port)} ${label}` : port;
  return t(context, done ? "forwarded" : "forwardPort", { port: text, name });
}

function otherPorts(context: ViewContext, ports: PortShown[]): Action[] {
  return ports.slice(1).map((each) => ({
    label: portName(context, each),
    icon: "log",
    attributes: {
      ...commandAttributes(context, each.key, {
        do: "forward",
        kind: each.kind,
        name: each.name,
        port: each.port[0],
      }),
      "aria-pressed": each.done && "true",
    },
  }));
}

function shareAction(context: ViewContext, name: string): Action {
  const service = `${currentNamespace(context)}/svc/${name}`;
  return {
    label: t(context, "share"),
    name: t(context, "shareNamed", { name: service }),
    icon: "share",
    attributes: dialogAttributes({ kind: "shareService", service }),
  };
}

/** The log and the events of a pod, in the menu. */
function podDialogs(context: ViewContext, pod: string): Action[] {
  return [
    {
      label: t(context, "log"),
      name: t(context, "logNamed", { name: pod }),
      icon: "lines",
      attributes: dialogAttributes({ kind: "log", pod }),
    },
    {
      label: t(context, "events"),
      name: t(context, "eventsNamed", { name: pod }),
      icon: "events",
      attributes: dialogAttributes({ kind: "events", pod }),
    },
  ];
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
