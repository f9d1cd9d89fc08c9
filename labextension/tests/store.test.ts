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
    store.apply({ whole: { "pod/a": pod, "pod/b": pod } });
    store.apply({ part: { "pod/a": null, "pod/b": { ...pod, restarts: 3 }, "pod/c": pod } });
    expect(store.all("pod").map(([name, fact]) => [name, fact.restarts])).toEqual([
      ["b", 3],
      ["c", 0],
    ]);
  });

  test("a whole replaces everything, and reports removed keys", () => {
    const changes: (readonly string[])[] = [];
    store.apply({ whole: { "pod/a": pod } });
    store.listen((changed) => changes.push(changed), signal);
    store.apply({ whole: { "pod/b": pod } });
    expect(store.all("pod").map(([name]) => name)).toEqual(["b"]);
    expect([...(changes[0] ?? [])].sort()).toEqual(["pod/a", "pod/b"]);
  });

  test("names are in numeric order", () => {
    store.apply({ whole: { "pod/x-10": pod, "pod/x-2": pod, "podium/x": pod } });
    expect(store.all("pod").map(([name]) => name)).toEqual(["x-2", "x-10"]);
  });

  test("a command is pending from the click until its end", () => {
    store.markSent("stop 1");
    expect(store.isPending("stop 1")).toBe(true);
    store.apply({ part: { "order/stop 1": { id: "x", state: "pending" } } });
    expect(store.sentAt.size).toBe(0);
    expect(store.isPending("stop 1")).toBe(true);
    store.apply({ part: { "order/stop 1": { id: "x", state: "done" } } });
    expect(store.isPending("stop 1")).toBe(false);
  });

  test("only the traffic of the last minute is kept", () => {
    vi.useFakeTimers({ now: 1_000_000 * SLOT });
    store.apply({ part: { "traffic/1": [0, 0, 0] } });
    store.apply({ part: { "traffic/1": [10, 20, 1] } });
    vi.advanceTimersByTime(SLOT);
    store.apply({ part: { "traffic/1": [10, 25, 1] } });
    expect(store.history.minute("traffic/1", Date.now()).slice(-2)).toEqual([30, 5]);
    vi.advanceTimersByTime(SLOT * SLOTS);
    expect(store.history.minute("traffic/1", Date.now())).toEqual(Array<number>(SLOTS).fill(0));
    store.apply({ part: { "traffic/1": null } });
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

test("a reply is complete with all pieces of its own command", () => {
  const store = new Store();
  store.apply({
    whole: { "order/plan": { id: "2", state: "done", pieces: 2 }, "answer/plan/0": ["2", '{"a":'] },
  });
  expect(store.answer("plan")).toBeUndefined();
  store.apply({ part: { "answer/plan/1": ["1", "7}"] } });
  expect(store.answer("plan")).toBeUndefined();
  store.apply({ part: { "answer/plan/1": ["2", "8}"] } });
  expect(store.answer("plan")).toEqual({ a: 8 });
});

test("the previous reply stays until a new one or dismissal", () => {
  const store = new Store();
  store.apply({
    whole: { "order/plan": { id: "1", state: "done", pieces: 1 }, "answer/plan/0": ["1", "[1]"] },
  });
  expect(store.answer("plan")).toEqual([1]);
  store.apply({ part: { "order/plan": { id: "2", state: "pending" } } });
  expect(store.answer("plan")).toEqual([1]);
  store.dismiss("plan");
  expect(store.answer("plan")).toBeUndefined();
});
