import { cls, h, type Content } from "../dom";
import type { Forward, Traffic } from "../protocol";
import { size } from "../format";
import { keys } from "../keys";
import { readPage, linkToPort, type PortLink } from "../portLink";
import { commandAttributes, copyAttributes, FORWARD_TONES, isLate, outcome, prose } from "../components";
import { currentNamespace, shortTarget, t, type ViewContext } from "../context";
import { sparkline } from "../sparkline";
import {
  filterBox,
  filtered,
  hint,
  item,
  list,
  section,
  showMore,
  steadyItem,
  visibleItems,
  type Action,
} from "../items";

const NO_TRAFFIC: Traffic = [0, 0, 0];

/** The forwards with local address, target and traffic. */
export function forwards(context: ViewContext): HTMLElement {
  const all = context.store.all("forward");
  const found = filtered(context, "forwards", all, ([, { target }]) => target);
  const rows = visibleItems(context, "forwards", found).map(([id, forward]) =>
    forwardItem(context, id, forward),
  );
  return section(
    context,
    "forwards",
    all.length,
    filterBox(context, "forwards", all.length),
    all.length ? list(context, "forwards", rows) : hint(context, "forwards", t(context, "noForwards")),
    showMore(context, "forwards", found.length),
    restartErrors(context),
  );
}

/** The errors of failed restarts: their forwards have no item any more. */
function restartErrors(context: ViewContext): Content {
  return context.store
    .all("command")
    .filter(([key]) => key.startsWith(keys.restart("")))
    .map(([key]) => outcome(context, key));
}

/** The item of a forward, with the outcome of the clicks on it. */
function forwardItem(context: ViewContext, id: string, forward: Forward): HTMLElement {
  const { store } = context;
  const minute = store.history.minute(`traffic/${id}`, Date.now());
  const traffic = store.get("traffic", id) ?? NO_TRAFFIC;
  const commands = [keys.stop(id), keys.restart(id)];
  const clicks = commands.map((key) => [
    store.isPending(key),
    isLate(context, key),
    store.get("command", key),
  ]);
  const texts = [...addresses(forward).map(([text]) => text), forward.magic];
  const copied = texts.includes(context.copied) && context.copied;
  const { proxy } = readPage(document);
  const shown = [forward, clicks, copied, store.ended, currentNamespace(context), proxy];
  const draw = () => [sparkline(minute), bytes(context, traffic)];
  return steadyItem(context, `forward ${id}`, shown, () => drawItem(context, id, forward, draw()), {
    shows: [traffic, minute],
    draw,
  });
}

function drawItem(context: ViewContext, id: string, forward: Forward, meta: Content): HTMLElement {
  const name = { name: forward.target };
  const number = Number(id);
  const found = addresses(forward);
  const [first] = found;
  const target = `${shortTarget(context, forward.target)}${forward.ports.map(([, remote]) => `:${String(remote)}`).join(" ")}`;
  const restart: Action = {
    label: t(context, "restart"),
    name: t(context, "restartNamed", name),
    icon: "renew",
    attributes: commandAttributes(context, keys.restart(id), { do: "restart_forward", forward: number }),
  };
  const magic: Action = {
    label: t(context, "copyMagic"),
    icon: "copy",
    attributes: copyAttributes(context, forward.magic),
  };
  const rest = found.slice(1).map(([text]) => copyAction(context, text));
  return item(context, `forward ${id}`, {
    tone: FORWARD_TONES[forward.state],
    state: t(context, `state.${forward.state}`),
    title: first ? first[0] : forward.target,
    detail: ["→ ", target],
    meta,
    icons: [
      first ? copyAction(context, first[0]) : null,
      first ? openAction(context, first) : null,
      {
        label: t(context, "stop"),
        name: t(context, "stopNamed", name),
        icon: "stop",
        attributes: commandAttributes(context, keys.stop(id), { do: "stop_forward", forward: number }),
      },
    ],
    menu: [restart, magic, ...rest],
    below: [
      forward.reason && h("p", { class: cls("faint", "note") }, forward.reason),
      forward.notes && h("p", { class: cls("faint", "note") }, forward.notes),
      needsProxy(context, forward) &&
        h(
          "p",
          { class: cls("faint", "note") },
          prose(t(context, context.store.single("who")?.remote ? "needsProxyAtLaunch" : "needsProxy")),
        ),
      outcome(context, keys.stop(id)),
    ],
  });
}

function copyAction(context: ViewContext, text: string): Action {
  const copied = context.copied === text;
  return {
    label: t(context, copied ? "copied" : "copy"),
    name: copied ? t(context, "copied") : `${t(context, "copy")}: ${text}`,
    icon: "copy",
    attributes: copyAttributes(context, text),
  };
}

function openAction(
  context: ViewContext,
  [text, local, remote]: [string, number, number | string],
): Action | null {
  const link = linkTo(context, local, remote);
  if (link === null || link === "needs proxy") return null;
  return {
    label: t(context, "openIt"),
    name: t(context, "openNamed", { name: text }),
    icon: "open",
    attributes: {
      href: link.href,
      target: "_blank",
      rel: "noopener noreferrer",
      "data-key": `open ${text}`,
    },
  };
}

/** The local addresses of a forward (ports or Unix sockets), each with the local port and the target's. */
function addresses({ sockets, address: host, ports }: Forward): [string, number, number | string][] {
  if (sockets.length) return sockets.map((path) => [path, 0, ""]);
  const name = host.includes(":") ? `[${host}]` : host;
  return ports.map(([local, remote]) => [`${name}:${String(local)}`, local, remote]);
}

/** Whether the port is on another machine than the browser, without a proxy. */
function needsProxy(context: ViewContext, forward: Forward): boolean {
  return addresses(forward).some(([, local, remote]) => linkTo(context, local, remote) === "needs proxy");
}

function linkTo(context: ViewContext, local: number, remote: number | string): PortLink {
  return linkToPort(local, remote, readPage(document), context.store.single("who")?.remote ?? false);
}

function bytes(context: ViewContext, [sent, received, open]: Traffic): HTMLElement {
  return h(
    "span",
    { class: cls("bytes") },
    amount(context, "↓", received, "received"),
    " ",
    amount(context, "↑", sent, "sent"),
    open > 0 && h("span", { class: cls("number", "faint") }, ` ${String(open)} ${t(context, "open")}`),
  );
}

function amount(context: ViewContext, sign: string, count: number, word: string): Content {
  return h(
    "span",
    { class: cls("number") },
    h("span", { "aria-hidden": "true" }, sign),
    size(count, context.language),
    h("span", { class: cls("hidden") }, ` ${t(context, word)}`),
  );
}
