import { cls, h, type Content } from "../dom";
import type { Forward } from "../facts";
import { size } from "../format";
import { keys } from "../orders";
import { badge, copyButton, faint, FORWARD_TONES, orderButton, outcome } from "../pieces";
import { own, t, type Scene } from "../scene";
import { sparkline } from "../sparkline";
import { empty, row, section, table } from "../tables";

/** What is open: where it leads, where it listens, what it carried. */
export function forwards(scene: Scene): HTMLElement {
  const rows = scene.store.all("forward").map(([id, forward]) => forwardRow(scene, id, forward));
  const headings = ["state", "target", "address", "traffic", "actions"];
  return section(
    scene,
    "forwards",
    rows.length ? table(scene, "forwards", headings, rows) : empty(t(scene, "noForwards")),
  );
}

function forwardRow(scene: Scene, id: string, forward: Forward): HTMLElement {
  const key = keys.stop(id);
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
      addresses(forward).map((text) => address(scene, text)),
      [sparkline(scene.store.history.minute(`traffic/${id}`, Date.now())), bytes(scene, id)],
      orderButton(
        scene,
        t(scene, "stop"),
        key,
        { do: "stop", forward: Number(id) },
        {
          "aria-label": t(scene, "stopNamed", { name: forward.target }),
        },
      ),
    ],
    [
      forward.reason &&
        h("p", { class: cls("faint"), lang: scene.language === "fr" ? "en" : null }, forward.reason),
      outcome(scene, key),
    ],
  );
}

/** Where it listens, as programs are told: on ports, or on Unix sockets. */
function addresses({ sockets, address: host, ports }: Forward): string[] {
  if (sockets.length) return sockets;
  return ports.map(([local]) => `${host.includes(":") ? `[${host}]` : host}:${String(local)}`);
}

function address(scene: Scene, text: string): HTMLElement {
  return h(
    "span",
    { class: cls("address"), "data-key": `address ${text}` },
    h("code", {}, text),
    copyButton(scene, text),
  );
}

function bytes(scene: Scene, id: string): HTMLElement {
  const [sent, received, open] = scene.store.get("traffic", id) ?? [0, 0, 0];
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
