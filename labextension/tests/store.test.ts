import { beforeEach, describe, expect, test, vi } from "vitest";
import { SLOT, SLOTS } from "../src/view/history";
import { Store } from "../src/view/store";

const pod = { state: "Running", tone: "good", ready: true, restarts: 0, created: 1, ports: [] };

describe("Store", () => {
  let store: Store;
  const signal = new AbortController().signal;

  beforeEach(() => {
    store = new Store();
  });

  test("a part adds, changes and removes", () => {
    store.apply({ type: "snapshot", values: { "pod/a": pod, "pod/b": pod } });
    store.apply({
      type: "changes",
      values: { "pod/a": null, "pod/b": { ...pod, restarts: 3 }, "pod/c": pod },
    });
    expect(store.all("pod").map(([name, fact]) => [name, fact.restarts])).toEqual([
      ["b", 3],
      ["c", 0],
    ]);
  });

  test("a whole replaces everything, and reports removed keys", () => {
    const changes: (readonly string[])[] = [];
    store.apply({ type: "snapshot", values: { "pod/a": pod } });
    store.listen((changed) => changes.push(changed), signal);
    store.apply({ type: "snapshot", values: { "pod/b": pod } });
    expect(store.all("pod").map(([name]) => name)).toEqual(["b"]);
    expect([...(changes[0] ?? [])].sort()).toEqual(["pod/a", "pod/b"]);
  });

  test("names are in numeric order", () => {
    store.apply({ type: "snapshot", values: { "pod/x-10": pod, "pod/x-2": pod, "podium/x": pod } });
    expect(store.all("pod").map(([name]) => name)).toEqual(["x-2", "x-10"]);
  });

  test("a command is pending from the click until its end", () => {
    store.markSent("stop 1", "x");
    expect(store.isPending("stop 1")).toBe(true);
    store.apply({ type: "changes", values: { "command/stop 1": { id: "x", state: "pending" } } });
    expect(store.sentAt.size).toBe(0);
    expect(store.isPending("stop 1")).toBe(true);
    store.apply({ type: "changes", values: { "command/stop 1": { id: "x", state: "done" } } });
    expect(store.isPending("stop 1")).toBe(false);
  });

  test("only the traffic of the last minute is kept", () => {
    vi.useFakeTimers({ now: 1_000_000 * SLOT });
    store.apply({ type: "changes", values: { "traffic/1": [0, 0, 0] } });
    store.apply({ type: "changes", values: { "traffic/1": [10, 20, 1] } });
    vi.advanceTimersByTime(SLOT);
    store.apply({ type: "changes", values: { "traffic/1": [10, 25, 1] } });
    expect(store.history.minute("traffic/1", Date.now()).slice(-2)).toEqual([30, 5]);
    vi.advanceTimersByTime(SLOT * SLOTS);
    expect(store.history.minute("traffic/1", Date.now())).toEqual(Array<number>(SLOTS).fill(0));
    store.apply({ type: "changes", values: { "traffic/1": null } });
    expect(store.history.empty).toBe(true);
    vi.useRealTimers();
  });

  test("an aborted listener gets no more changes", () => {
    const going = new AbortController();
    const listener = vi.fn();
    store.listen(listener, going.signal);
    going.abort();
    store.end();
    expect(listener).not.toHaveBeenCalled();
  });
});

test("a reply counts for the page that sent the last command", () => {
  const store = new Store();
  store.markSent("preview", "2");
  store.apply({ type: "reply", key: "preview", id: "1", value: { a: 7 } });
  store.apply({ type: "reply", key: "other", id: "2", value: { a: 7 } });
  expect(store.reply("preview_share", "preview")).toBeUndefined();
  store.apply({ type: "reply", key: "preview", id: "2", value: { a: 8 } });
  expect(store.reply("preview_share", "preview")).toEqual({ a: 8 });
});

test("the previous reply stays until a new one or dismissal", () => {
  const store = new Store();
  store.markSent("schemas", "1");
  store.apply({ type: "reply", key: "schemas", id: "1", value: ["a"] });
  store.markSent("schemas", "2");
  expect(store.reply("list_schemas", "schemas")).toEqual(["a"]);
  store.dismiss("schemas");
  expect(store.reply("list_schemas", "schemas")).toBeUndefined();
});
