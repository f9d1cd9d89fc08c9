/** The kernel's snapshots, shared by all views of the panel in a page. */

import type { Kinds, Singles, SnapshotMessage, Traffic } from "./snapshot";
import { History } from "./history";

const ORDER = new Intl.Collator("en", { numeric: true });

export type Listener = (changed: readonly string[]) => void;

export class Store {
  /** Commands sent from here that the kernel has not accepted yet: key → time, in milliseconds. */
  readonly sentAt = new Map<string, number>();
  readonly history = new History();
  /** Whether the first snapshots have arrived. */
  hasSnapshot = false;
  /** Whether the kernel has ended. */
  ended = false;

  /** Cache: the snapshots of a kind in their order, until one of them changes. */
  private readonly sorted = new Map<string, [string, unknown][]>();
  private readonly answers = new Map<string, { id: string; found: unknown }>();
  private readonly facts = new Map<string, unknown>();
  private readonly listeners = new Set<Listener>();

  /** Apply a message of the kernel. */
  apply({ whole, part }: SnapshotMessage): void {
    const changes = whole ?? part;
    if (!changes) return;
    const changed = new Set(Object.keys(changes));
    if (whole) {
      for (const key of this.facts.keys()) changed.add(key);
      for (const key of [...this.facts.keys()]) if (!(key in whole)) this.forget(key);
      this.hasSnapshot = true;
    }
    for (const [key, value] of Object.entries(changes)) {
      if (value === null) this.forget(key);
      else this.set(key, value);
    }
    this.notify([...changed]);
  }

  /** Record that the kernel has ended. */
  end(): void {
    this.ended = true;
    this.notify([]);
  }

  /** Return a snapshot of which there is one. */
  single<Name extends keyof Singles>(name: Name): Singles[Name] | undefined {
    return this.facts.get(name) as Singles[Name] | undefined;
  }

  /** Return one snapshot of which there are many. */
  get<Kind extends keyof Kinds>(kind: Kind, name: string): Kinds[Kind] | undefined {
    return this.facts.get(`${kind}/${name}`) as Kinds[Kind] | undefined;
  }

  /** Return all snapshots of a kind with their names, in the order of the names: `pod-2` before `pod-10`. */
  all<Kind extends keyof Kinds>(kind: Kind): [string, Kinds[Kind]][] {
    const prefix = `${kind}/`;
    let sorted = this.sorted.get(kind);
    if (!sorted) {
      sorted = [...this.facts]
        .filter(([key]) => key.startsWith(prefix))
        .map(([key, value]): [string, unknown] => [key.slice(prefix.length), value])
        .sort(([one], [other]) => ORDER.compare(one, other));
      this.sorted.set(kind, sorted);
    }
    return sorted as [string, Kinds[Kind]][];
  }

  /** Whether a command was sent and has not ended. */
  isPending(key: string): boolean {
    return this.sentAt.has(key) || this.get("order", key)?.state === "pending";
  }

  /** Return the reply to a command; while it runs again, the previous reply. */
  answer(key: string): unknown {
    const { id, pieces } = this.get("order", key) ?? {};
    const kept = this.answers.get(key);
    if (id === undefined || pieces === undefined || kept?.id === id) return kept?.found;
    const parts = Array.from({ length: pieces }, (_, index) => this.get("answer", `${key}/${index}`));
    const texts = parts.filter((part) => part?.[0] === id).map((part) => part?.[1]);
    if (texts.length < pieces) return kept?.found;
    const found: unknown = JSON.parse(texts.join(""));
    this.answers.set(key, { id, found });
    return found;
  }

  /** Drop the reply to a command. */
  dismiss(key: string): void {
    this.answers.delete(key);
    this.forget(`order/${key}`);
  }

  /** Record that a command was sent from here. */
  markSent(key: string): void {
    this.sentAt.set(key, Date.now());
    this.notify([]);
  }

  /** Call a function with the changed keys, until the signal aborts. */
  listen(listener: Listener, signal: AbortSignal): void {
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
  }

  private notify(changed: readonly string[]): void {
    for (const listener of this.listeners) listener(changed);
  }

  private set(key: string, value: unknown): void {
    if (key.startsWith("traffic/")) {
      this.history.count(key, this.facts.get(key) as Traffic | undefined, value as Traffic, Date.now());
    }
    this.invalidate(key);
    this.facts.set(key, value);
  }

  private forget(key: string): void {
    this.history.forget(key);
    this.invalidate(key);
    this.facts.delete(key);
  }

  private invalidate(key: string): void {
    this.sorted.delete(key.slice(0, key.indexOf("/")));
    if (key.startsWith("order/")) this.sentAt.delete(key.slice("order/".length));
  }
}
