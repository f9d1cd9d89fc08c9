import { cls, h, type Content } from "../dom";
import { keys } from "../orders";
import { faint, orderButton, outcome, question, questionButton, shape } from "../pieces";
import { t, type Scene } from "../scene";
import { section } from "../tables";

const PEOPLE = ["alice", "bob", "carol"];

/** The practice cluster, and who one is in it; nothing where it is not installed. */
export function sandbox(scene: Scene): HTMLElement | null {
  const status = scene.store.one("sandbox");
  if (!status) return null;
  const orders = [keys.startSandbox, keys.stopSandbox, keys.resetSandbox, ...PEOPLE.map(keys.become)];
  const off = status.keeps ? "sandboxKeeps" : "sandboxOff";
  return section(
    scene,
    "sandbox",
    h(
      "p",
      { class: cls("sandbox") },
      shape(status.running ? "good" : "over"),
      " ",
      t(scene, status.running ? "sandboxOn" : off, { server: status.server }),
    ),
    h(
      "div",
      { class: cls("row") },
      status.running ? whileItRuns(scene, status.server) : start(scene),
      (status.running || status.keeps) && reset(scene),
    ),
    resetQuestion(scene),
    orders.map((key) => outcome(scene, key)),
  );
}

function start(scene: Scene): Content {
  const label = { "aria-label": t(scene, "startNamed") };
  return orderButton(scene, t(scene, "start"), keys.startSandbox, { do: "start sandbox" }, label);
}

function reset(scene: Scene): Content {
  const { resetSandbox } = keys;
  return questionButton(scene, t(scene, "reset"), resetSandbox, t(scene, "resetSandbox"), resetSandbox);
}

function resetQuestion(scene: Scene): Content {
  const danger = { class: cls("button", "danger") };
  const yes = orderButton(scene, t(scene, "resetYes"), keys.resetSandbox, { do: "reset sandbox" }, danger);
  return question(scene, keys.resetSandbox, t(scene, "resetSure"), yes, t(scene, "resetNo"));
}

function whileItRuns(scene: Scene, server: string): Content {
  const who = scene.store.one("who");
  const people = PEOPLE.map((person) => {
    const pressed = String(who?.server === server && who.user === `oidc-${person}`);
    const order = { do: "become", person } as const;
    return orderButton(scene, person, keys.become(person), order, { "aria-pressed": pressed });
  });
  const label = t(scene, "actAs");
  const stop = { "aria-label": t(scene, "stopSandbox") };
  return [
    h(
      "span",
      { class: cls("group"), role: "group", "aria-label": label, "data-key": "people" },
      faint(label),
      people,
    ),
    orderButton(scene, t(scene, "stop"), keys.stopSandbox, { do: "stop sandbox" }, stop),
  ];
}
