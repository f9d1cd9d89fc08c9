import { cls, h, type Content } from "../dom";
import type { Forward, Traffic } from "../protocol";
import { size } from "../format";
import { keys } from "../keys";
import { readPage, linkToPort, type PortLink } from "../portLink";
import {
  badge,
  copyButton,
  faint,
  FORWARD_TONES,
  isLate,
  commandButton,
  outcome,
  prose,
} from "../components";
import { currentNamespace, shortTarget, t, type ViewContext } from "../context";
import { sparkline } from "../sparkline";
import { visibleRows, empty, showMore, row, section, steadyRow, table } from "../tables";

const NO_TRAFFIC: Traffic = [0, 0, 0];
const HEADINGS = ["state", "target", "address", "traffic", "actions"];
const TRAFFIC = HEADINGS.indexOf("traffic");

/** The forwards with target, local address and traffic. */
export function forwards(context: ViewContext): HTMLElement {
  const all = context.store.all("forward");
  const rows = visibleRows(context, "forwards", all).map(([id, forward]) => forwardRow(context, id, forward));
  return section(
    context,
    "forwards",
    rows.length ? table(context, "forwards", HEADINGS, rows) : empty(t(context, "noForwards")),
    showMore(context, "forwards", all.length),
    restartErrors(context),
  );
}

/** The errors of failed restarts: their forwards have no row any more. */
function restartErrors(context: ViewContext): Content {
  return context.store
    .all("command")
    .filter(([key]) => key.startsWith(keys.restart("")))
    .map(([key]) => outcome(context, key));
}

/** The row of a forward, with the outcome of the clicks on it. */
function forwardRow(context: ViewContext, id: string, forward: Forward): HTMLElement {
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
  const shown = [forward, clicks, copied, store.ended, currentNamespace(context)];
  const draw = () => [sparkline(minute), bytes(context, traffic)];
  return steadyRow(context, `forward ${id}`, shown, () => drawRow(context, id, forward, draw()), {
    at: TRAFFIC,
    of: HEADINGS.length,
    shows: [traffic, minute],
    draw,
  });
}

function drawRow(context: ViewContext, id: string, forward: Forward, carried: Content): HTMLElement {
  const name = { name: forward.target };
  const number = Number(id);
  return row(
    `forward ${id}`,
    [
      badge(FORWARD_TONES[forward.state], t(context, `state.${forward.state}`)),
      h(
        "span",
        { class: cls("target") },
        shortTarget(context, forward.target),
        forward.ports.map(([, remote]) => faint(` :${String(remote)}`)),
      ),
      addresses(forward).map(([text, local, remote]) => address(context, text, local, remote)),
      carried,
      h(
        "span",
        { class: cls("actions") },
        commandButton(
          context,
          t(context, "stop"),
          keys.stop(id),
          { do: "stop_forward", forward: number },
          {
            "aria-label": t(context, "stopNamed", name),
          },
        ),
        commandButton(
          context,
          t(context, "restart"),
          keys.restart(id),
          { do: "restart_forward", forward: number },
          {
            "aria-label": t(context, "restartNamed", name),
          },
        ),
        copyButton(context, forward.magic, "copyMagic"),
      ),
    ],
    [
      forward.reason && h("p", { class: cls("faint") }, forward.reason),
      forward.notes && h("p", { class: cls("faint") }, forward.notes),
      needsProxy(context, forward) && h("p", { class: cls("faint") }, prose(t(context, "needsProxy"))),
      outcome(context, keys.stop(id)),
    ],
  );
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

function address(context: ViewContext, text: string, local: number, remote: number | string): HTMLElement {
  const link = linkTo(context, local, remote);
  return h(
    "span",
    { class: cls("address"), "data-key": `address ${text}` },
    h("code", {}, text),
    copyButton(context, text),
    link !== null &&
      link !== "needs proxy" &&
      h(
        "a",
        {
          class: cls("button", "quiet"),
          href: link.href,
          target: "_blank",
          rel: "noopener noreferrer",
          "data-key": `open ${text}`,
          "aria-label": t(context, "openNamed", { name: text }),
        },
        t(context, "openIt"),
      ),
  );
}

function bytes(context: ViewContext, [sent, received, open]: Traffic): HTMLElement {
  return h(
    "span",
    { class: cls("bytes") },
    amount(context, "↓", received, "received"),
    " ",
    amount(context, "↑", sent, "sent"),
    " ",
    open > 0 && h("span", { class: cls("number", "faint") }, `${String(open)} ${t(context, "open")}`),
  );
}

function amount(context: ViewContext, sign: string, count: number, word: string): Content {
  return h(
    "span",
    { class: cls("number") },
    h("span", { "aria-hidden": "true" }, `${sign} `),
    size(count, context.language),
    h("span", { class: cls("hidden") }, ` ${t(context, word)}`),
  );
}
