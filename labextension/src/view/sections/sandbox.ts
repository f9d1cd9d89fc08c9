import { cls, h, type Content } from "../dom";
import { keys } from "../keys";
import { faint, commandButton, outcome, question, questionButton, shape } from "../components";
import { t, type ViewContext } from "../context";
import { section } from "../items";

const PEOPLE = ["alice", "bob", "carol"];

/** The practice cluster and your user in it; nothing if it is not installed. */
export function sandbox(context: ViewContext): HTMLElement | null {
  const status = context.store.single("sandbox");
  if (!status) return null;
  const commands = [keys.startSandbox, keys.stopSandbox, keys.resetSandbox, ...PEOPLE.map(keys.actAs)];
  const off = status.keeps ? "sandboxKeeps" : "sandboxOff";
  return section(
    context,
    "sandbox",
    null,
    h(
      "div",
      { class: cls("row") },
      h(
        "p",
        { class: cls("sandbox") },
        shape(status.running ? "good" : "over"),
        " ",
        t(context, status.running ? "sandboxOn" : off, { server: status.server }),
      ),
      status.running ? whileItRuns(context, status.server) : start(context),
      (status.running || status.keeps) && reset(context),
    ),
    resetQuestion(context),
    commands.map((key) => outcome(context, key)),
  );
}

function start(context: ViewContext): Content {
  const label = { "aria-label": t(context, "startNamed") };
  return commandButton(context, t(context, "start"), keys.startSandbox, { do: "start_sandbox" }, label);
}

function reset(context: ViewContext): Content {
  const { resetSandbox } = keys;
  return questionButton(context, t(context, "reset"), resetSandbox, t(context, "resetSandbox"), resetSandbox);
}

function resetQuestion(context: ViewContext): Content {
  const danger = { class: cls("button", "danger") };
  const yes = commandButton(
    context,
    t(context, "resetYes"),
    keys.resetSandbox,
    { do: "reset_sandbox" },
    danger,
  );
  return question(context, keys.resetSandbox, t(context, "resetSure"), yes, t(context, "resetNo"));
}

function whileItRuns(context: ViewContext, server: string): Content {
  const who = context.store.single("who");
  const people = PEOPLE.map((person) => {
    const pressed = String(who?.server === server && who.user === `oidc-${person}`);
    const command = { do: "act_as", person } as const;
    return commandButton(context, person, keys.actAs(person), command, { "aria-pressed": pressed });
  });
  const label = t(context, "actAs");
  const stop = { "aria-label": t(context, "stopSandbox") };
  return [
    h(
      "span",
      { class: cls("group"), role: "group", "aria-label": label, "data-key": "people" },
      faint(label),
      people,
    ),
    commandButton(context, t(context, "stop"), keys.stopSandbox, { do: "stop_sandbox" }, stop),
  ];
}
