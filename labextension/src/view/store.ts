/** The kernel's snapshots, shared by all views of the panel in a page. */

import type { Collections, KernelMessage, Replies, Singles, Traffic } from "./protocol";
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

  /** The time of the first message of the page since the kernel's last one, in milliseconds; 0 without one. */
  private unheardSince = 0;
  /** Cache: the names of a kind in their order, until one appears or disappears. Sorting 500 names takes 4 ms. */
  private readonly sorted = new Map<string, string[]>();
  /** The last replies to the buttons of this page, by their keys. */
  private readonly replies = new Map<string, unknown>();
  /** The ids of the last commands that were sent from this page, by their keys. */
  private readonly sentIds = new Map<string, string>();
  private readonly values = new Map<string, unknown>();
  private readonly listeners = new Set<Listener>();

  /** Apply a message of the kernel. */
  apply(message: KernelMessage): void {
    this.noteHeard();
    if (message.type === "reply") {
      // Another page with the same kernel may have sent the command.
      if (this.sentIds.get(message.key) === message.id) this.replies.set(message.key, message.value);
      this.notify([]);
      return;
    }
    const { type, values } = message;
    const changed = new Set(Object.keys(values));
    if (type === "snapshot") {
      for (const key of [...this.values.keys()]) {
        changed.add(key);
        if (!(key in values)) this.forget(key);
      }
      this.hasSnapshot = true;
    }
    for (const [key, value] of Object.entries(values)) {
      if (value === null) this.forget(key);
      else this.set(key, value);
    }
    this.notify([...changed]);
  }

  /** Record that the page has sent a message. */
  noteSent(): void {
    this.unheardSince ||= Date.now();
  }

  /** Record that the kernel has reacted. */
  noteHeard(): void {
    this.unheardSince = 0;
  }

  /** Whether the kernel has not reacted to a message for so many milliseconds. */
  isUnheard(milliseconds: number): boolean {
    return this.unheardSince > 0 && Date.now() - this.unheardSince > milliseconds;
  }

  /** Record that the kernel has ended. */
  end(): void {
    this.ended = true;
    this.notify([]);
  }

  /** Return a snapshot of which there is one. */
  single<Name extends keyof Singles>(name: Name): Singles[Name] | undefined {
    return this.values.get(name) as Singles[Name] | undefined;
  }

  /** Return one snapshot of which there are many. */
  get<Kind extends keyof Collections>(kind: Kind, name: string): Collections[Kind] | undefined {
    return this.values.get(`${kind}/${name}`) as Collections[Kind] | undefined;
  }

  /** Return all snapshots of a kind with their names, in the order of the names: `pod-2` before `pod-10`. */
  all<Kind extends keyof Collections>(kind: Kind): [string, Collections[Kind]][] {
    const prefix = `${kind}/`;
    let sorted = this.sorted.get(kind);
    if (!sorted) {
      sorted = [...this.values.keys()]
        .filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length))
        .sort((one, other) => ORDER.compare(one, other));
      this.sorted.set(kind, sorted);
    }
    return sorted.map((name) => [name, this.values.get(prefix + name) as Collections[Kind]]);
  }

  /** Whether a command was sent and has not ended. */
  isPending(key: string): boolean {
    return this.sentAt.has(key) || this.get("command", key)?.state === "pending";
  }

  /** Return the reply to the last command of a button; while it runs again, the previous reply. */
  reply<Name extends keyof Replies>(_: Name, key: string): Replies[Name] | undefined {
    return this.replies.get(key) as Replies[Name] | undefined;
  }

  /** Drop the outcome and the reply of a button. */
  dismiss(key: string): void {
    this.replies.delete(key);
    this.forget(`command/${key}`);
  }

  /** Record that a command was sent from here. */
  markSent(key: string, id: string): void {
    this.sentAt.set(key, Date.now());
    this.sentIds.set(key, id);
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
      this.history.count(key, this.values.get(key) as Traffic | undefined, value as Traffic, Date.now());
    }
    if (key.startsWith("command/")) this.sentAt.delete(key.slice("command/".length));
    if (!this.values.has(key)) this.sorted.delete(kindOf(key));
    this.values.set(key, value);
  }

  private forget(key: string): void {
    this.history.forget(key);
    if (key.startsWith("command/")) this.sentAt.delete(key.slice("command/".length));
    this.sorted.delete(kindOf(key));
    this.values.delete(key);
  }
}

function kindOf(key: string): string {
  return key.slice(0, key.indexOf("/"));
}
