import { cls, h, type Content } from "../dom";
import type { Share } from "../protocol";
import { date, day } from "../format";
import { keys } from "../keys";
import { commandButton, outcome, question, questionAttributes, questionButton } from "../components";
import { t, type ViewContext } from "../context";
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
} from "../items";

type Row = [string, Share];

/** Your shares, one line a person, grouped by database or service. */
export function shares(context: ViewContext): HTMLElement {
  const all = context.store.all("share");
  const found = filtered(context, "shares", all, ([path]) => path);
  const groups = groupByDatabase(visibleItems(context, "shares", found));
  const counts = groupByDatabase(all);
  return section(
    context,
    "shares",
    knownCount(context, "shares", all.length),
    placeholder(context, "shares", all.length, t(context, "noShares")) ?? [
      filterBox(context, "shares", all.length),
      !found.length && empty(t(context, "noMatch", { name: context.filters.get("shares") ?? "" })),
      [...groups].map(([database, rows]) =>
        group(context, database, rows, counts.get(database)?.length ?? 0),
      ),
      showMore(context, "shares", found.length),
      whoIsConnected(context, all),
    ],
    outcome(context, keys.sessions),
  );
}

function groupByDatabase(rows: Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const group = groups.get(row[1].database) ?? [];
    groups.set(row[1].database, group);
    group.push(row);
  }
  return groups;
}

function whoIsConnected(context: ViewContext, all: Row[]): Content {
  return (
    all.some(([, share]) => share.sessions === null && !isService(share.database)) &&
    h(
      "div",
      { class: cls("row"), "data-key": "sessions" },
      commandButton(
        context,
        t(context, "whoIsConnected"),
        keys.sessions,
        { do: "list_sessions" },
        { class: cls("button", "quiet") },
      ),
    )
  );
}

/** Whether a service is shared, which counts no sessions and leaves open connections alone. */
function isService(shared: string): boolean {
  return shared.startsWith("svc/");
}

/** The colleagues of the shares of one database or service. */
function group(context: ViewContext, database: string, rows: Row[], count: number): HTMLElement {
  const key = keys.revokeAll(database);
  const danger = { class: cls("button", "danger") };
  const yes = commandButton(context, t(context, "revokeAllYes"), key, { do: "revoke_all", database }, danger);
  const sure = isService(database) ? "revokeAllServiceSure" : "revokeAllSure";
  const sentence = t(context, sure, { name: database, count });
  return h(
    "div",
    { class: cls("sharegroup"), "data-key": `group ${database}` },
    h(
      "h4",
      { class: cls("line") },
      h("span", { class: cls("title"), title: database }, database),
      h("span", { class: cls("count") }, String(count)),
      count > 1 &&
        questionButton(
          context,
          t(context, "revokeAll"),
          key,
          t(context, "revokeAllNamed", { name: database }),
          key,
        ),
    ),
    question(context, key, sentence, yes, t(context, "revokeNo")),
    outcome(context, key),
    list(
      context,
      "shares",
      rows.map(([path, share]) => shareItem(context, path, share)),
    ),
  );
}

function shareItem(context: ViewContext, path: string, share: Share): HTMLElement {
  const { store } = context;
  const key = keys.revoke(path);
  const open = share.sessions ?? store.reply("list_sessions", keys.sessions)?.[path];
  const state = [context.question === path, store.isPending(key), store.get("command", key)];
  const named = { name: share.database, colleague: share.colleague };
  return steadyItem(context, `share ${path}`, [share, open, state, store.ended], () =>
    item(context, `share ${path}`, {
      tone: share.tone,
      state: t(context, `state.${share.state}`),
      title: share.colleague,
      detail: [
        share.tone !== "good" && "· ",
        t(context, `access.${share.access}`),
        share.scope && ` · ${scope(context, share)}`,
      ],
      meta: [
        open && h("span", { title: sessions(context, open) }, sessionsShort(context, open)),
        h("span", { title: date(share.until, context.language) }, day(share.until, context.language)),
      ],
      icons: [
        {
          label: t(context, "revoke"),
          name: t(context, "revokeNamed", named),
          icon: "close",
          attributes: questionAttributes(context, path, key),
        },
      ],
      below: [revokeQuestion(context, path, share), outcome(context, key)],
    }),
  );
}

function scope(context: ViewContext, share: Share): string {
  return isService(share.database) ? t(context, "sharedPort", { port: share.scope }) : share.scope;
}

function sessionsShort(context: ViewContext, [count]: [number, number | null]): string {
  return count ? t(context, "sessionsOpen", { count }) : "";
}

/** The colleague's open sessions and their start. */
function sessions(context: ViewContext, [count, since]: [number, number | null]): string {
  if (since === null) return t(context, "noSession");
  const when = t(context, "sessionsSince", { since: date(since, context.language) });
  return `${t(context, "sessionsOpen", { count })} ${when}`;
}

function revokeQuestion(context: ViewContext, path: string, { database, colleague }: Share): Content {
  const command = { do: "revoke", database, colleague } as const;
  const danger = { class: cls("button", "danger") };
  const yes = commandButton(context, t(context, "revokeYes"), keys.revoke(path), command, danger);
  const sure = isService(database) ? "revokeServiceSure" : "revokeSure";
  return question(
    context,
    path,
    t(context, sure, { name: database, colleague }),
    yes,
    t(context, "revokeNo"),
  );
}
