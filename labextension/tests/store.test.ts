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

  test("a part adds, changes and takes away", () => {
    store.take({ whole: { "pod/a": pod, "pod/b": pod } });
    store.take({ part: { "pod/a": null, "pod/b": { ...pod, restarts: 3 }, "pod/c": pod } });
    expect(store.all("pod").map(([name, fact]) => [name, fact.restarts])).toEqual([
      ["b", 3],
      ["c", 0],
    ]);
  });

  test("a whole replaces everything, and says what is gone", () => {
    const changes: (readonly string[])[] = [];
    store.take({ whole: { "pod/a": pod } });
    store.listen((changed) => changes.push(changed), signal);
    store.take({ whole: { "pod/b": pod } });
    expect(store.all("pod").map(([name]) => name)).toEqual(["b"]);
    expect([...(changes[0] ?? [])].sort()).toEqual(["pod/a", "pod/b"]);
  });

  test("names are in the order in which one counts", () => {
    store.take({ whole: { "pod/x-10": pod, "pod/x-2": pod, "podium/x": pod } });
    expect(store.all("pod").map(([name]) => name)).toEqual(["x-2", "x-10"]);
  });

  test("a command is pending from the click until the kernel says it has ended", () => {
    store.give("stop 1");
    expect(store.isPending("stop 1")).toBe(true);
    store.take({ part: { "order/stop 1": { id: "x", state: "pending" } } });
    expect(store.given.size).toBe(0);
    expect(store.isPending("stop 1")).toBe(true);
    store.take({ part: { "order/stop 1": { id: "x", state: "done" } } });
    expect(store.isPending("stop 1")).toBe(false);
  });

  test("the traffic of a minute is kept in slots, and nothing before it", () => {
    vi.useFakeTimers({ now: 1_000_000 * SLOT });
    store.take({ part: { "traffic/1": [0, 0, 0] } });
    store.take({ part: { "traffic/1": [10, 20, 1] } });
    vi.advanceTimersByTime(SLOT);
    store.take({ part: { "traffic/1": [10, 25, 1] } });
    expect(store.history.minute("traffic/1", Date.now()).slice(-2)).toEqual([30, 5]);
    vi.advanceTimersByTime(SLOT * SLOTS);
    expect(store.history.minute("traffic/1", Date.now())).toEqual(Array<number>(SLOTS).fill(0));
    store.take({ part: { "traffic/1": null } });
    expect(store.history.empty).toBe(true);
    vi.useRealTimers();
  });

  test("who has gone is told nothing more", () => {
    const going = new AbortController();
    const listener = vi.fn();
    store.listen(listener, going.signal);
    going.abort();
    store.end();
    expect(listener).not.toHaveBeenCalled();
  });
});

test("an answer is put together when all of its pieces are there, and those of another command are not taken", () => {
  const store = new Store();
  store.take({
    whole: { "order/plan": { id: "2", state: "done", pieces: 2 }, "answer/plan/0": ["2", '{"a":'] },
  });
  expect(store.answer("plan")).toBeUndefined();
  store.take({ part: { "answer/plan/1": ["1", "7}"] } });
  expect(store.answer("plan")).toBeUndefined();
  store.take({ part: { "answer/plan/1": ["2", "8}"] } });
  expect(store.answer("plan")).toEqual({ a: 8 });
});

test("the answer before stays while the command is given again, and until it is dismissed", () => {
  const store = new Store();
  store.take({
    whole: { "order/plan": { id: "1", state: "done", pieces: 1 }, "answer/plan/0": ["1", "[1]"] },
  });
  expect(store.answer("plan")).toEqual([1]);
  store.take({ part: { "order/plan": { id: "2", state: "pending" } } });
  expect(store.answer("plan")).toEqual([1]);
  store.dismiss("plan");
  expect(store.answer("plan")).toBeUndefined();
});
