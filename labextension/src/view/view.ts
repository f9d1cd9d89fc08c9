/**
 * One view of the panel: facts come in, tables and buttons come out, clicks go back as orders.
 *
 * A section is a function from facts to fresh elements; `morph` changes the page into them and keeps every element
 * that stays. Clicks are found by the attributes of the button: `data-order`, `data-copy`, `data-question`.
 */

import { body } from "./body";
import { copyText } from "./clipboard";
import { cls, h } from "./dom";
import { SLOT } from "./history";
import { watchSight } from "./looking";
import type { Model } from "./model";
import { morph } from "./morph";
import { keys, type Order } from "./orders";
import { t, type Scene } from "./scene";
import type { Store } from "./store";
import { languageOf, type Language } from "./words";

/** Milliseconds for which a button says "copied". */
const COPIED = 1_500;

export class View implements Scene {
  readonly id = Math.random().toString(36).slice(2);
  readonly began = Date.now();
  filter = "";
  question = "";
  copied = "";

  private counter = 0;
  private frame = 0;
  private readonly root: HTMLElement;
  private readonly body = h("div", { class: cls("body") });
  private readonly live = h("div", { class: cls("said"), role: "status", "aria-live": "polite" });

  constructor(
    private readonly model: Model,
    readonly store: Store,
    el: HTMLElement,
  ) {
    this.root = h(
      "div",
      {
        class: "jp-SSPCloudPanel",
        role: "region",
        "aria-label": "SSPCloud",
        // Keeps JupyterLab's own keys away: D twice would delete the cell.
        "data-lm-suppress-shortcuts": "true",
      },
      this.body,
      this.live,
    );
    el.append(this.root);
  }

  get language(): Language {
    return languageOf(this.model.get("language") || navigator.language);
  }

  /** Live until the signal says otherwise. */
  run(signal: AbortSignal): void {
    const { store, root } = this;
    store.listen((changed) => {
      this.announce(changed);
      this.drawSoon();
    }, signal);
    root.addEventListener("click", (event) => this.click(event), { signal });
    root.addEventListener("submit", (event) => this.submit(event), { signal });
    root.addEventListener("input", (event) => this.input(event), { signal });
    root.addEventListener("keydown", (event) => this.key(event), { signal });
    const seen = watchSight(root, (now) => this.look(now), signal);
    const tick = setInterval(() => {
      const moving = !store.history.empty || store.given.size > 0 || !store.told;
      if (seen() && moving) this.draw();
    }, SLOT);
    signal.addEventListener("abort", () => {
      clearInterval(tick);
      cancelAnimationFrame(this.frame);
      if (!store.ended) this.look(false);
    });
    this.draw();
    this.look(true, true);
  }

  draw(): void {
    const next = body(this);
    const focused = document.activeElement;
    const home = focused && this.body.contains(focused) ? focused.closest("section") : null;
    morph(this.body, next);
    // What had the focus may be gone, as a stopped forward is: its section takes it, not the page.
    if (home && focused && !focused.isConnected) {
      const name = home.getAttribute("data-section") ?? "";
      this.focus(`[data-section="${CSS.escape(name)}"] h3`);
    }
  }

  private drawSoon(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private focus(selector: string): void {
    this.body.querySelector<HTMLElement>(selector)?.focus();
  }

  /** Say to a screen reader what changed by itself. */
  private announce(changed: readonly string[]): void {
    const said: string[] = [];
    for (const key of changed) {
      const [kind, name] = [key.slice(0, key.indexOf("/")), key.slice(key.indexOf("/") + 1)];
      if (kind === "forward") {
        const forward = this.store.get("forward", name);
        if (forward) said.push(`${forward.target}: ${t(this, `state.${forward.state}`)}`);
      }
      if (kind === "connection") {
        const connection = this.store.get("connection", name);
        if (connection?.current) {
          said.push(t(this, "connected", { name: connection.database, user: connection.user }));
        }
      }
    }
    if (said.length) this.live.textContent = said.join(". ");
  }

  private give(order: Order, key: string): void {
    if (this.store.isPending(key) || this.store.ended) return;
    this.counter += 1;
    this.model.send({ ...order, key, id: `${this.id}.${String(this.counter)}` });
    this.question = "";
    this.store.give(key);
  }

  private click(event: Event): void {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (!button || button.type === "submit") return;
    const { order, name, copy, question } = button.dataset;
    if (order && name) {
      if (button.getAttribute("aria-pressed") !== "true") this.give(JSON.parse(order) as Order, name);
    } else if (copy) void this.copy(copy);
    else if (question !== undefined) this.ask(question);
  }

  private submit(event: Event): void {
    event.preventDefault();
    event.stopPropagation();
    const database = this.root.querySelector<HTMLInputElement>('input[name="database"]')?.value.trim();
    if (database) this.give({ do: "connect", database }, keys.connectNamed);
  }

  private input(event: Event): void {
    if (!(event.target instanceof HTMLInputElement) || event.target.dataset.filter === undefined) return;
    this.filter = event.target.value;
    this.draw();
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.question) this.ask("");
  }

  /** Ask before a share ends; asking twice, or for nothing, takes the question back. */
  private ask(question: string): void {
    const before = this.question;
    this.question = question === before ? "" : question;
    this.draw();
    this.focus(this.question ? "[data-keep]" : `[data-question="${CSS.escape(before)}"]`);
  }

  private async copy(text: string): Promise<void> {
    await copyText(text, this.root);
    this.copied = text;
    this.live.textContent = t(this, "copied");
    this.draw();
    setTimeout(() => {
      this.copied = "";
      this.draw();
    }, COPIED);
  }

  private look(seen: boolean, fresh = false): void {
    this.model.send({ do: "look", view: this.id, seen, new: fresh });
  }
}
