import { cls, h, type Content } from "../dom";
import { keys } from "../orders";
import { faint, orderButton, outcome, shape } from "../pieces";
import { t, type Scene } from "../scene";
import { section } from "../tables";

const PEOPLE = ["alice", "bob", "carol"];

/** The practice cluster, and who one is in it; nothing where it is not installed. */
export function sandbox(scene: Scene): HTMLElement | null {
  const status = scene.store.one("sandbox");
  if (!status) return null;
  const orders = [keys.startSandbox, keys.stopSandbox, ...PEOPLE.map(keys.become)];
  return section(
    scene,
    "sandbox",
    h(
      "p",
      { class: cls("sandbox") },
      shape(status.running ? "good" : "over"),
      " ",
      t(scene, status.running ? "sandboxOn" : "sandboxOff", { server: status.server }),
    ),
    h("div", { class: cls("row") }, status.running ? whileItRuns(scene, status.server) : start(scene)),
    orders.map((key) => outcome(scene, key)),
  );
}

function start(scene: Scene): Content {
  const label = { "aria-label": t(scene, "startNamed") };
  return orderButton(scene, t(scene, "start"), keys.startSandbox, { do: "start sandbox" }, label);
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
