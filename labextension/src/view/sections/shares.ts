import { cls, h, type Content } from "../dom";
import type { Share } from "../protocol";
import { date } from "../format";
import { keys } from "../keys";
import { badge, faint, commandButton, outcome, question, questionButton } from "../components";
import { t, type ViewContext } from "../context";
import { placeholder, row, section, table } from "../tables";

/** Your shares: the colleague, the access, the expiry, and a button to revoke each. */
export function shares(context: ViewContext): HTMLElement {
  const { store } = context;
  const rows = context.store.all("share").map(([path, share]) => shareRow(context, path, share));
  const headings = ["state", "database", "colleague", "until", "actions"];
  return section(
    context,
    "shares",
    placeholder(context, "shares", rows.length, t(context, "noShares")) ??
      table(context, "shares", headings, rows),
    store.all("share").some(([, share]) => share.sessions === null) &&
      h(
        "div",
        { class: cls("row"), "data-key": "sessions" },
        commandButton(context, t(context, "whoIsConnected"), keys.sessions, { do: "list_sessions" }),
      ),
    outcome(context, keys.sessions),
  );
}

function shareRow(context: ViewContext, path: string, share: Share): HTMLElement {
  const key = keys.revoke(path);
  return row(
    `share ${path}`,
    [
      badge(share.tone, t(context, `state.${share.state}`)),
      share.database,
      [
        share.colleague,
        h("div", {}, t(context, `access.${share.access}`), share.schemas && faint(` ${share.schemas}`)),
      ],
      [date(share.until, context.language), h("div", {}, openSessions(context, path, share))],
      questionButton(
        context,
        t(context, "revoke"),
        path,
        t(context, "revokeNamed", { name: share.database, colleague: share.colleague }),
        key,
      ),
    ],
    [revokeQuestion(context, path, share), outcome(context, key)],
  );
}

/** The colleague's open sessions and their start, once requested. */
function openSessions(context: ViewContext, path: string, share: Share): Content {
  const open = share.sessions ?? context.store.reply("list_sessions", keys.sessions)?.[path];
  if (open === undefined) return null;
  const [count, since] = open;
  if (since === null) return badge("over", t(context, "noSession"));
  return [
    badge("good", t(context, "sessionsOpen", { count })),
    faint(` ${t(context, "sessionsSince", { since: date(since, context.language) })}`),
  ];
}

function revokeQuestion(context: ViewContext, path: string, { database, colleague }: Share): Content {
  const command = { do: "revoke", database, colleague } as const;
  const danger = { class: cls("button", "danger") };
  const yes = commandButton(context, t(context, "revokeYes"), keys.revoke(path), command, danger);
  return question(
    context,
    path,
    t(context, "revokeSure", { name: database, colleague }),
    yes,
    t(context, "revokeNo"),
  );
}
