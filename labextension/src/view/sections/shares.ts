import { cls, h, type Content } from "../dom";
import type { Sessions, Share } from "../facts";
import { date } from "../format";
import { keys } from "../orders";
import { badge, faint, orderButton, outcome, question, questionButton } from "../pieces";
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
      questionButton(
        scene,
        t(scene, "revoke"),
        path,
        t(scene, "revokeNamed", { name: share.database, colleague: share.colleague }),
        key,
      ),
    ],
    [revokeQuestion(scene, path, share), outcome(scene, key)],
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

function revokeQuestion(scene: Scene, path: string, { database, colleague }: Share): Content {
  const order = { do: "revoke", database, colleague } as const;
  const danger = { class: cls("button", "danger") };
  const yes = orderButton(scene, t(scene, "revokeYes"), keys.revoke(path), order, danger);
  return question(
    scene,
    path,
    t(scene, "revokeSure", { name: database, colleague }),
    yes,
    t(scene, "revokeNo"),
  );
}
