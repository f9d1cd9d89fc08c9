import { cls, h, type Content } from "../dom";
import type { Sessions, Share } from "../facts";
import { date } from "../format";
import { keys } from "../orders";
import { badge, faint, orderButton, outcome, plainButton } from "../pieces";
import { t, type Scene } from "../scene";
import { instead, row, section, table } from "../tables";

/** What one shares: with whom, which right, until when; taken back after a question. */
export function shares(scene: Scene): HTMLElement {
  const { store } = scene;
  const rows = scene.store.all("share").map(([path, share]) => shareRow(scene, path, share));
  const headings = ["state", "database", "colleague", "until", "actions"];
  return section(
    scene,
    "shares",
    instead(scene, "shares", rows.length, t(scene, "noShares")) ?? table(scene, "shares", headings, rows),
    store.all("share").some(([, share]) => share.sessions === null) &&
      h(
        "div",
        { class: cls("row"), "data-key": "sessions" },
        orderButton(scene, t(scene, "whoIsConnected"), keys.sessions, { do: "sessions" }),
      ),
    outcome(scene, keys.sessions),
  );
}

function shareRow(scene: Scene, path: string, share: Share): HTMLElement {
  const key = keys.revoke(path);
  const asked = scene.question === path;
  return row(
    `share ${path}`,
    [
      badge(share.tone, t(scene, `state.${share.state}`)),
      share.database,
      [
        share.colleague,
        h("div", {}, t(scene, `access.${share.access}`), share.schemas && faint(` ${share.schemas}`)),
      ],
      [date(share.until, scene.language), h("div", {}, connected(scene, path, share))],
      plainButton(t(scene, "revoke"), {
        "data-question": path,
        "aria-expanded": String(asked),
        "aria-label": t(scene, "revokeNamed", { name: share.database, colleague: share.colleague }),
        "aria-busy": scene.store.isPending(key) && "true",
      }),
    ],
    [asked && question(scene, path, share), outcome(scene, key)],
  );
}

/** How many sessions the colleague has open and since when, where somebody has asked. */
function connected(scene: Scene, path: string, share: Share): Content {
  const open = share.sessions ?? (scene.store.answer(keys.sessions) as Sessions | undefined)?.[path];
  if (open === undefined) return null;
  const [count, since] = open;
  if (since === null) return badge("over", t(scene, "noSession"));
  return [
    badge("good", t(scene, "sessionsOpen", { count })),
    faint(` ${t(scene, "sessionsSince", { since: date(since, scene.language) })}`),
  ];
}

function question(scene: Scene, path: string, { database, colleague }: Share): Content {
  const sentence = t(scene, "revokeSure", { name: database, colleague });
  return h(
    "div",
    { class: cls("question"), role: "group", "data-key": `question ${path}`, "aria-label": sentence },
    h("p", {}, sentence),
    orderButton(
      scene,
      t(scene, "revokeYes"),
      keys.revoke(path),
      { do: "revoke", database, colleague },
      { class: cls("button", "danger") },
    ),
    " ",
    plainButton(t(scene, "revokeNo"), { "data-question": "", "data-keep": "" }),
  );
}
