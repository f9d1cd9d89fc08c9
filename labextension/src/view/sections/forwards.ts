import { cls, h, type Content } from "../dom";
import type { Forward, Traffic } from "../facts";
import { size } from "../format";
import { keys } from "../orders";
import { pageOf, wayTo, type Way } from "../opening";
import { badge, copyButton, faint, FORWARD_TONES, isLate, orderButton, outcome, prose } from "../pieces";
import { namespace, own, t, type Scene } from "../scene";
import { sparkline } from "../sparkline";
import { drawn, empty, more, row, section, steadyRow, table } from "../tables";

const NO_TRAFFIC: Traffic = [0, 0, 0];
const HEADINGS = ["state", "target", "address", "traffic", "actions"];
const TRAFFIC = HEADINGS.indexOf("traffic");

/** What is open: where it leads, where it listens, what it carried. */
export function forwards(scene: Scene): HTMLElement {
  const all = scene.store.all("forward");
  const rows = drawn(scene, "forwards", all).map(([id, forward]) => forwardRow(scene, id, forward));
  return section(
    scene,
    "forwards",
    rows.length ? table(scene, "forwards", HEADINGS, rows) : empty(t(scene, "noForwards")),
    more(scene, "forwards", all.length),
    restarts(scene),
  );
}

/** Why a restart failed: the forward is gone then, and its row with it. */
function restarts(scene: Scene): Content {
  return scene.store
    .all("order")
    .filter(([key]) => key.startsWith(keys.restart("")))
    .map(([key]) => outcome(scene, key));
}

/** A forward as it is drawn: what is known of it, and what became of the clicks on it. */
function forwardRow(scene: Scene, id: string, forward: Forward): HTMLElement {
  const { store } = scene;
  const minute = store.history.minute(`traffic/${id}`, Date.now());
  const traffic = store.get("traffic", id) ?? NO_TRAFFIC;
  const orders = [keys.stop(id), keys.restart(id)];
  const clicks = orders.map((key) => [store.isPending(key), isLate(scene, key), store.get("order", key)]);
  const texts = [...addresses(forward).map(([text]) => text), forward.magic];
  const copied = texts.includes(scene.copied) && scene.copied;
  const shown = [forward, clicks, copied, store.ended, namespace(scene)];
  const draw = () => [sparkline(minute), bytes(scene, traffic)];
  return steadyRow(scene, `forward ${id}`, shown, () => drawRow(scene, id, forward, draw()), {
    at: TRAFFIC,
    of: HEADINGS.length,
    shows: [traffic, minute],
    draw,
  });
}

function drawRow(scene: Scene, id: string, forward: Forward, carried: Content): HTMLElement {
  const name = { name: forward.target };
  const number = Number(id);
  return row(
    `forward ${id}`,
    [
      badge(FORWARD_TONES[forward.state], t(scene, `state.${forward.state}`)),
      h(
        "span",
        { class: cls("target") },
        own(scene, forward.target),
        forward.ports.map(([, remote]) => faint(` :${String(remote)}`)),
      ),
      addresses(forward).map(([text, local, remote]) => address(scene, text, local, remote)),
      carried,
      h(
        "span",
        { class: cls("actions") },
        orderButton(
          scene,
          t(scene, "stop"),
          keys.stop(id),
          { do: "stop", forward: number },
          {
            "aria-label": t(scene, "stopNamed", name),
          },
        ),
        orderButton(
          scene,
          t(scene, "restart"),
          keys.restart(id),
          { do: "restart", forward: number },
          {
            "aria-label": t(scene, "restartNamed", name),
          },
        ),
        copyButton(scene, forward.magic, "copyMagic"),
      ),
    ],
    [
      forward.reason &&
        h("p", { class: cls("faint"), lang: scene.language === "fr" ? "en" : null }, forward.reason),
      forward.notes &&
        h("p", { class: cls("faint"), lang: scene.language === "fr" ? "en" : null }, forward.notes),
      needsProxy(scene, forward) && h("p", { class: cls("faint") }, prose(t(scene, "needsProxy"))),
      outcome(scene, keys.stop(id)),
    ],
  );
}

/** Where it listens, as programs are told (on ports, or on Unix sockets), with the local port and the target's. */
function addresses({ sockets, address: host, ports }: Forward): [string, number, number | string][] {
  if (sockets.length) return sockets.map((path) => [path, 0, ""]);
  const name = host.includes(":") ? `[${host}]` : host;
  return ports.map(([local, remote]) => [`${name}:${String(local)}`, local, remote]);
}

/** Whether the address is not the browser's, and nothing leads there. */
function needsProxy(scene: Scene, forward: Forward): boolean {
  return addresses(forward).some(([, local, remote]) => waysTo(scene, local, remote) === "needs proxy");
}

function waysTo(scene: Scene, local: number, remote: number | string): Way {
  return wayTo(local, remote, pageOf(document), scene.store.one("who")?.remote ?? false);
}

function address(scene: Scene, text: string, local: number, remote: number | string): HTMLElement {
  const way = waysTo(scene, local, remote);
  return h(
    "span",
    { class: cls("address"), "data-key": `address ${text}` },
    h("code", {}, text),
    copyButton(scene, text),
    way !== null &&
      way !== "needs proxy" &&
      h(
        "a",
        {
          class: cls("button", "quiet"),
          href: way.href,
          target: "_blank",
          rel: "noopener noreferrer",
          "data-key": `open ${text}`,
          "aria-label": t(scene, "openNamed", { name: text }),
        },
        t(scene, "openIt"),
      ),
  );
}

function bytes(scene: Scene, [sent, received, open]: Traffic): HTMLElement {
  return h(
    "span",
    { class: cls("bytes") },
    amount(scene, "↓", received, "received"),
    " ",
    amount(scene, "↑", sent, "sent"),
    " ",
    open > 0 && h("span", { class: cls("number", "faint") }, `${String(open)} ${t(scene, "open")}`),
  );
}

function amount(scene: Scene, sign: string, count: number, word: string): Content {
  return h(
    "span",
    { class: cls("number") },
    h("span", { "aria-hidden": "true" }, `${sign} `),
    size(count, scene.language),
    h("span", { class: cls("hidden") }, ` ${t(scene, word)}`),
  );
}
