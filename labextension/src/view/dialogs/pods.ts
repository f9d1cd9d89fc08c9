/** The end of a pod's log, and its events. */

import { cls, h, type Content } from "../dom";
import type { Command, Event } from "../protocol";
import { age } from "../format";
import { keys } from "../keys";
import { commandButton, faint, outcome, plainButton, shape } from "../components";
import { t, type ViewContext } from "../context";
import { empty } from "../items";
import { labelledCell, row, table } from "../tables";

export function log(context: ViewContext, pod: string): Content {
  const key = keys.log(pod);
  const found = context.store.reply("read_log", key);
  const values = { container: found?.container };
  return [
    found &&
      (found.text
        ? [
            faint(t(context, "logLast", values)),
            h(
              "div",
              {
                class: cls("log"),
                "data-key": "log",
                tabindex: "0",
                role: "group",
                "aria-label": t(context, "logNamed", { name: pod }),
              },
              h("pre", {}, found.text),
            ),
          ]
        : empty(t(context, "logEmpty", values))),
    !found && waiting(context, key),
    footer(context, key, { do: "read_log", pod }, `%k8s_logs ${pod} -f`),
  ];
}

export function events(context: ViewContext, pod: string): Content {
  const key = keys.events(pod);
  const found = context.store.reply("list_events", key);
  const headings = ["kind", "reason", "times", "age"];
  return [
    found &&
      (found.events.length
        ? table(
            context,
            "events",
            headings,
            found.events.map((each, index) => eventRow(context, each, index)),
          )
        : empty(t(context, "noEvents"))),
    found && found.all > found.events.length && faint(t(context, "moreEvents", { count: found.all })),
    !found && waiting(context, key),
    footer(context, key, { do: "list_events", pod }, `%k8s_describe pod ${pod}`),
  ];
}

function eventRow(
  context: ViewContext,
  [type, reason, times, time, message]: Event,
  index: number,
): HTMLElement {
  return row(
    `event ${String(index)}`,
    [
      [shape(type === "Normal" ? "good" : "bad"), " ", faint(type)],
      reason,
      labelledCell(context, "times", String(times)),
      labelledCell(context, "age", age(time, Date.now() / 1000, context.language)),
    ],
    h("p", { class: cls("faint") }, message),
  );
}

function waiting(context: ViewContext, key: string): Content {
  return (
    context.store.isPending(key) && h("p", { class: cls("note"), "data-key": "asking" }, t(context, "asking"))
  );
}

/** The error of the last request, a button that repeats it, and one that inserts a magic. */
function footer(context: ViewContext, key: string, command: Command, magic: string): Content {
  return [
    outcome(context, key),
    h(
      "div",
      { class: cls("row"), "data-key": "footer" },
      commandButton(context, t(context, "refresh"), key, command),
      plainButton(t(context, "insertCell"), {
        "data-insert": magic,
        title: magic,
        "aria-label": `${t(context, "insertCell")}: ${magic}`,
      }),
    ),
  ];
}
