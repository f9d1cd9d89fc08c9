import type { TranslationBundle } from "@jupyterlab/translation";
import { expect, test } from "vitest";
import french from "../../sspcloud_magics/locale/fr_FR/LC_MESSAGES/sspcloud_magics.json";
import { COMMANDS, getEmptyState } from "../src/lab/emptyStates";
import type { State } from "../src/lab/state";

type Silent = Exclude<State, { kind: "live" }>;

const states: Record<Silent["kind"], Silent> = {
  "no-document": { kind: "no-document" },
  "no-kernel": { kind: "no-kernel" },
  starting: { kind: "starting" },
  dead: { kind: "dead" },
  disconnected: { kind: "disconnected" },
  foreign: { kind: "foreign", language: "R" },
  asking: { kind: "asking" },
  busy: { kind: "busy" },
  "not-loaded": { kind: "not-loaded" },
  loading: { kind: "loading", queued: true },
  "not-installed": { kind: "not-installed" },
  outdated: { kind: "outdated" },
  failed: { kind: "failed", reason: "RuntimeError: the disk is full" },
  shared: { kind: "shared", kernelId: "1" },
  "no-widgets": { kind: "no-widgets" },
};

const catalogue = french as unknown as Record<string, string[]>;
const languages = {
  en: (text: string) => text,
  fr: (text: string) => catalogue[text]?.[0] ?? `not in French: ${text}`,
};

function translator(language: keyof typeof languages): TranslationBundle {
  const say = (text: string, value = "") => languages[language](text).replace("%1", value);
  return { __: say } as unknown as TranslationBundle;
}

test.each(["en", "fr"] as const)("in %s every state has its own text and its next step", (language) => {
  const trans = translator(language);
  const reasons = Object.values(states).map((state) => getEmptyState(state, trans));
  const titles = reasons.map(({ title }) => title);
  expect(new Set(titles).size).toBe(reasons.length);
  expect(new Set(reasons.map(({ text }) => text)).size).toBeGreaterThanOrEqual(reasons.length - 1);
  for (const { title, text, actions, code, waiting } of reasons) {
    expect(`${title} ${text}`).not.toContain("not in French");
    expect(`${title} ${text}`).not.toContain("%1");
    // Only the state "shared" has neither an action nor code nor a wait: its text says where to go.
    const action = actions.length > 0 || code !== undefined || waiting === true;
    expect(action || title === getEmptyState(states.shared, trans).title, title).toBe(true);
    for (const { label, action: taken } of actions) {
      expect(label).not.toContain("not in French");
      if ("insert" in taken) expect(taken.insert).toBe(code);
      else if (taken.command.startsWith("sspcloud:"))
        expect(Object.values(COMMANDS)).toContain(taken.command);
    }
  }
});
