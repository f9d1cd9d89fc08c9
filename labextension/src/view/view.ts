/**
 * One view of the panel: it renders snapshots as tables and buttons, and sends clicks as commands.
 *
 * A section is a function from snapshots to new elements; `morph` updates the page and keeps every element that stays.
 * The attributes of a button name its action: `data-command`, `data-copy`, `data-question`.
 */

import { layout, SECTIONS } from "./layout";
import { copyText } from "./clipboard";
import { cls, h } from "./dom";
import { SLOT } from "./history";
import { watchVisibility } from "./visibility";
import type { Dialog } from "./dialog";
import { dialog } from "./dialogs";
import { isShareForm, readForm, readShareRequest, type FormCommand } from "./forms";
import { requestCell } from "./insertCellRequest";
import type { Model } from "./model";
import { morph } from "./morph";
import { keys } from "./keys";
import { askForProxy, readPage } from "./portLink";
import type { Command, ServiceShareRequest, ShareRequest, ViewMessage } from "./protocol";
import { watchPress } from "./pressGuard";
import { t, type RenderedItem, type ViewContext } from "./context";
import type { Store } from "./store";
import { menuEntries, STEP, type Action } from "./items";
import { readFolded, saveFolded } from "./folding";
import { placeMenu } from "./menu";
import { InputRestore } from "./inputRestore";
import { languageOf, type Language } from "./i18n";

/** Milliseconds after which ages and countdowns are rendered again without another change. */
const AGES = 20_000;
/** Bytes of a login script, at most; the same limit as the kernel's. */
const LONGEST_SCRIPT = 1 << 20;
/** The dialogs that show replies and connections only. */
const QUIET_DIALOGS: ReadonlySet<Dialog["kind"]> = new Set(["tables", "log", "events"]);
/** Milliseconds for which a button says "copied". */
const COPIED = 1_500;

export class View implements ViewContext {
  readonly id = Math.random().toString(36).slice(2);
  readonly began = Date.now();
  readonly filters = new Map<string, string>();
  readonly folded = readFolded();
  menu = "";
  question = "";
  copied = "";
  dialog: Dialog | null = null;
  expanded = "";
  shareRequest: ShareRequest | ServiceShareRequest | null = null;
  previewed: ShareRequest | ServiceShareRequest | null = null;
  rows: ReadonlyMap<string, RenderedItem> = new Map();
  readonly limits = new Map<string, number>();

  private user = "";
  private counter = 0;
  private frame = 0;
  private drawn = 0;
  private isDrawing = false;
  /** Whether the open dialog may show something else than before: most news change only the panel behind it. */
  private isDialogStale = true;
  private isPressed = () => false;
  /** The ids of the last commands sent from here, by their keys. */
  private readonly sent = new Map<string, string>();
  private readonly inputRestore = new InputRestore();
  private readonly root: HTMLElement;
  private readonly body = h("div", { class: cls("body") });
  private readonly box: HTMLDialogElement;
  private readonly menuBox = h("div", { class: cls("menu"), role: "menu", popover: "manual" });
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
        // Suppresses JupyterLab's keys: D twice would delete the cell.
        "data-lm-suppress-shortcuts": "true",
      },
      this.body,
      this.live,
    );
    this.box = dialog(this) as HTMLDialogElement;
    this.root.append(this.box, this.menuBox);
    el.append(this.root);
  }

  /** The language of the kernel's messages. */
  get language(): Language {
    return languageOf(this.model.get("language") || navigator.language);
  }

  get staticText(): string {
    return this.model.get("static_text");
  }

  get hasKernel(): boolean {
    return Boolean(this.model.widget_manager?.kernel);
  }

  /** Update the view until the signal aborts. */
  run(signal: AbortSignal): void {
    const { store, root } = this;
    void askForProxy(readPage(document)).then(() => {
      if (!signal.aborted) this.draw();
    });
    store.listen((changed) => {
      this.announce(changed);
      this.closeWhenDone();
      // JupyterLab's side panel asks the kernel for another one.
      if (store.ended) root.dispatchEvent(new CustomEvent("sspcloud:panel-ended", { bubbles: true }));
      // No key is named if a reply has come, a command was sent, or the kernel has ended.
      this.isDialogStale ||= !changed.length || changed.some((key) => /^(command|connection)\//.test(key));
      this.drawSoon();
    }, signal);
    root.addEventListener("click", (event) => this.click(event), { signal });
    root.addEventListener("submit", (event) => this.submit(event), { signal });
    root.addEventListener("input", (event) => this.input(event), { signal });
    root.addEventListener("change", (event) => this.input(event), { signal });
    for (const event of ["scroll", "resize"]) {
      window.addEventListener(event, () => this.closeMenu(false), { signal, capture: true, passive: true });
    }
    document.addEventListener("pointerdown", (event) => this.closeMenuOutside(event), {
      signal,
      capture: true,
    });
    root.addEventListener("focusout", (event) => this.leaveMenu(event), { signal });
    root.addEventListener("paste", (event) => this.paste(event), { signal });
    root.addEventListener("keydown", (event) => this.key(event), { signal });
    this.box.addEventListener("close", () => this.handleClose(), { signal });
    this.isPressed = watchPress(root, () => this.drawSoon(), signal);
    const seen = watchVisibility(root, (now) => this.reportVisibility(now), signal);
    const tick = setInterval(() => {
      const moving = !store.history.empty || store.sentAt.size > 0 || !store.hasSnapshot;
      if (seen() && (moving || Date.now() - this.drawn > AGES)) this.drawSoon();
    }, SLOT);
    signal.addEventListener("abort", () => {
      clearInterval(tick);
      cancelAnimationFrame(this.frame);
      if (!store.ended) this.reportVisibility(false);
    });
    this.draw();
    this.reportVisibility(true, true);
  }

  draw(): void {
    this.isDialogStale = true;
    this.drawOnce(() => this.drawAll());
  }

  /** Render one section only: a filter changes no other. */
  private drawSection(name: string): void {
    const live = this.body.querySelector(`[data-section="${CSS.escape(name)}"]`);
    const render = SECTIONS[name];
    if (live && render) this.drawOnce(() => this.update(live, () => render(this)));
  }

  private drawOnce(draw: () => void): void {
    // A focused field that is removed fires a change event; do not render again for it.
    if (this.isDrawing) return;
    this.isDrawing = true;
    try {
      draw();
    } finally {
      this.isDrawing = false;
    }
  }

  /** Change a part of the page into what `render` returns; a row with the same data stays as it is. */
  private update(live: Element, render: () => HTMLElement): void {
    const rows = [...live.querySelectorAll("[data-from]")];
    this.rows = new Map(
      rows.map((row) => [
        row.getAttribute("data-key") ?? "",
        { from: row.getAttribute("data-from") ?? "", shows: row.getAttribute("data-shows") ?? "" },
      ]),
    );
    morph(live, render());
    if (live.querySelector("[data-same], [data-part]")) {
      // A row that should stay was removed with its parent: render all rows.
      this.rows = new Map();
      morph(live, render());
    }
  }

  private drawAll(): void {
    this.drawn = Date.now();
    const focused = document.activeElement;
    const home = focused && this.body.contains(focused) ? focused.closest("section") : null;
    this.update(this.body, () => layout(this));
    for (const box of this.body.querySelectorAll<HTMLInputElement>("[data-filter]")) {
      const text = this.filters.get(box.dataset.filter ?? "") ?? "";
      if (box.value !== text) box.value = text;
    }
    this.inputRestore.restore(this.body, focused);
    // The focused element may be gone, like a stopped forward: focus its section, not the page.
    if (home && focused && !focused.isConnected) {
      const name = home.getAttribute("data-section") ?? "";
      this.focus(`[data-section="${CSS.escape(name)}"] [data-fold]`);
    }
    if (this.dialog && (this.isDialogStale || !QUIET_DIALOGS.has(this.dialog.kind))) this.drawDialog();
  }

  private drawDialog(): void {
    this.isDialogStale = false;
    const next = dialog(this);
    // The browser sets this attribute on an open dialog.
    next.toggleAttribute("open", this.box.open);
    morph(this.box, next);
  }

  private openDialog(opened: Dialog): void {
    this.dialog = opened;
    this.expanded = "";
    this.previewed = this.shareRequest = null;
    if (opened.kind === "share") {
      this.store.dismiss(keys.share(opened.database));
      this.give({ do: "list_schemas", database: opened.database }, keys.schemas(opened.database));
    }
    if (opened.kind === "shareService") this.store.dismiss(keys.share(opened.service));
    if (opened.kind === "tables") {
      this.give({ do: "list_tables", database: opened.database }, keys.tables(opened.database));
    }
    if (opened.kind === "log") this.give({ do: "read_log", pod: opened.pod }, keys.log(opened.pod));
    if (opened.kind === "events") this.give({ do: "list_events", pod: opened.pod }, keys.events(opened.pod));
    this.drawDialog();
    this.box.showModal();
    this.box.querySelector<HTMLElement>("textarea, input, [data-expand]")?.focus();
  }

  private handleClose(): void {
    // A log is long, and may contain what others must not read.
    if (this.dialog?.kind === "log") this.store.dismiss(keys.log(this.dialog.pod));
    if (this.dialog?.kind === "events") this.store.dismiss(keys.events(this.dialog.pod));
    this.dialog = null;
    // No input stays in the page.
    this.box.querySelector(`.${cls("dialogbody")}`)?.replaceChildren();
  }

  /** Close a dialog whose command has succeeded. */
  private closeWhenDone(): void {
    if (this.dialog?.kind !== "login" && this.dialog?.kind !== "namespace") return;
    for (const [key, id] of this.sent) {
      const isOfDialog = key === keys.logIn || key.startsWith(keys.namespace);
      const command = this.store.get("command", key);
      if (isOfDialog && command?.id === id && command.state === "done") {
        this.sent.delete(key);
        this.box.close();
      }
    }
  }

  private drawSoon(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.isPressed()) this.drawOnce(() => this.drawAll());
    });
  }

  private focus(selector: string): void {
    this.body.querySelector<HTMLElement>(selector)?.focus();
  }

  /** Announce background changes to a screen reader. */
  private announce(changed: readonly string[]): void {
    const said: string[] = [];
    for (const key of changed) {
      if (key === "who") {
        const who = this.store.single("who");
        if (who && this.user && this.user !== who.user) said.push(t(this, "nowAs", { name: who.user }));
        this.user = who?.user ?? this.user;
      }
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

  private give(command: Command, key: string): void {
    if (this.store.isPending(key) || this.store.ended) return;
    this.counter += 1;
    const id = `${this.id}.${String(this.counter)}`;
    this.sent.set(key, id);
    this.send({ ...command, key, id });
    this.question = "";
    this.store.markSent(key, id);
  }

  private click(event: Event): void {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (!button || button.type === "submit") return;
    const { command, name, copy, question, expand, insert, more, menu, fold } = button.dataset;
    const isInMenu = this.menuBox.contains(button);
    if (isInMenu) this.closeMenu(true);
    if (expand !== undefined) this.expanded = this.expanded === expand ? "" : expand;
    if (button.dataset.dialog) this.openDialog(JSON.parse(button.dataset.dialog) as Dialog);
    else if (button.dataset.close !== undefined) this.box.close();
    else if (insert) void this.insert(insert);
    else if (more) this.drawMore(more);
    else if (menu) this.toggleMenu(button, menu);
    else if (fold) this.fold(fold);
    else if (expand === "" || (expand !== undefined && !this.expanded)) this.draw();
    else if (command && name) {
      if (button.getAttribute("aria-pressed") !== "true") this.give(JSON.parse(command) as Command, name);
    } else if (copy) void this.copy(copy);
    else if (question !== undefined) this.ask(question);
  }

  private submit(event: Event): void {
    event.preventDefault();
    event.stopPropagation();
    const form = event.target;
    const submitter = (event as SubmitEvent).submitter;
    if (!(form instanceof HTMLFormElement) || submitter?.getAttribute("aria-disabled") === "true") return;
    const asked = readForm(form, (submitter as HTMLButtonElement | null)?.value ?? "");
    if (!asked) return;
    // Credentials leave the page at once.
    form.querySelectorAll("textarea").forEach((area) => (area.value = ""));
    this.give(asked.command, asked.key);
    this.remember(form, asked);
  }

  private remember(form: HTMLFormElement, { command }: FormCommand): void {
    if (command.do === "preview_share" || command.do === "preview_service_share")
      this.previewed = this.shareRequest = readShareRequest(form);
    this.draw();
  }

  private input(event: Event): void {
    if (event.target instanceof HTMLSelectElement && event.type === "change") {
      this.give({ do: "set_language", language: event.target.value }, keys.language);
      return;
    }
    if (!(event.target instanceof HTMLInputElement)) return;
    if (event.target.dataset.scriptFile !== undefined) {
      void this.choose(event.target);
      return;
    }
    const { form, dataset, value } = event.target;
    if (dataset.filter !== undefined) {
      this.filters.set(dataset.filter, value);
      this.limits.delete(dataset.filter);
      this.drawSection(dataset.filter);
    } else if (form && isShareForm(form)) {
      this.shareRequest = readShareRequest(form);
      this.draw();
    }
  }

  /** Fold a section, or unfold it. */
  private fold(name: string): void {
    if (!this.folded.delete(name)) this.folded.add(name);
    saveFolded(this.folded);
    this.draw();
  }

  private toggleMenu(button: HTMLElement, key: string): void {
    const isOpen = this.menu === key;
    this.closeMenu(false);
    if (isOpen) return;
    this.menu = key;
    this.menuBox.replaceChildren(...menuEntries(JSON.parse(button.dataset.entries ?? "[]") as Action[]));
    this.menuBox.setAttribute("aria-label", button.getAttribute("aria-label") ?? "");
    this.menuBox.showPopover();
    placeMenu(this.menuBox, button);
    this.draw();
    this.menuBox.querySelector<HTMLElement>("button")?.focus();
  }

  /** Close the menu, and return the focus to its button. */
  private closeMenu(focuses: boolean): void {
    if (!this.menu) return;
    const button = this.menuButton();
    this.menu = "";
    this.menuBox.hidePopover();
    this.menuBox.replaceChildren();
    if (focuses) button?.focus();
    this.drawSoon();
  }

  private menuButton(): HTMLElement | null {
    return this.body.querySelector<HTMLElement>(`[data-menu="${CSS.escape(this.menu)}"]`);
  }

  private closeMenuOutside(event: Event): void {
    const target = event.target instanceof Node ? event.target : null;
    if (this.menuBox.contains(target) || this.menuButton()?.contains(target)) return;
    this.closeMenu(false);
  }

  private leaveMenu({ target, relatedTarget }: FocusEvent): void {
    const leaves = target instanceof Node && this.menuBox.contains(target);
    if (leaves && relatedTarget instanceof Node && !this.menuBox.contains(relatedTarget))
      this.closeMenu(false);
  }

  /** Move between the entries of the menu by keyboard. */
  private moveInMenu(event: KeyboardEvent): boolean {
    const entries = [...this.menuBox.querySelectorAll<HTMLElement>("button")];
    const at = entries.findIndex((each) => each === document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") this.closeMenu(true);
    else if (to !== undefined) entries.at(to % entries.length)?.focus();
    else return false;
    if (event.key !== "Tab") event.preventDefault();
    return true;
  }

  private drawMore(name: string): void {
    this.limits.set(name, (this.limits.get(name) ?? STEP) + STEP);
    this.drawSoon();
  }

  /** Send a pasted script to the kernel without showing it. */
  private paste(event: ClipboardEvent): void {
    const area = event.target;
    if (!(area instanceof HTMLTextAreaElement) || area.dataset.paste === undefined) return;
    const script = event.clipboardData?.getData("text/plain").trim();
    if (!script) return;
    event.preventDefault();
    area.value = "";
    this.give({ do: "log_in", script }, keys.logIn);
  }

  /** Read the chosen file here and send it like a pasted script: the kernel opens no file for a page. */
  private async choose(field: HTMLInputElement): Promise<void> {
    const file = field.files?.[0];
    // Choosing the same file again must fire the event again.
    field.value = "";
    if (!file) return;
    // The kernel refuses a longer script, so do not read more.
    const script = (await file.slice(0, LONGEST_SCRIPT + 1).text()).trim();
    if (script) this.give({ do: "log_in", script }, keys.logIn);
  }

  private key(event: KeyboardEvent): void {
    if (this.menu && this.moveInMenu(event)) return;
    if (event.key === "Escape" && this.question) this.ask("");
    const field = event.target;
    if (event.key !== "Enter" || event.isComposing || !(field instanceof HTMLInputElement)) return;
    if (!field.form?.dataset.form) return;
    // In a JupyterLab output, the browser does not submit a form on Enter.
    event.preventDefault();
    field.form.requestSubmit(field.form.querySelector<HTMLButtonElement>("button[type=submit]"));
  }

  /** Put a text into a new cell in JupyterLab, else into the clipboard. */
  private async insert(source: string): Promise<void> {
    const taken = requestCell(this.root, source);
    if (taken) this.live.textContent = t(this, "inserted");
    else await this.copy(source);
    if (taken) this.box.close();
  }

  /** Open a confirmation; the same or an empty name closes it. */
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

  private reportVisibility(seen: boolean, fresh = false): void {
    this.send({ do: "view", view: this.id, visible: seen, new: fresh });
  }

  private send(message: ViewMessage | (Command & { key: string; id: string })): void {
    this.store.noteSent();
    try {
      this.model.send(message);
    } catch {
      // The kernel has ended, and the page does not know yet.
      this.store.end();
    }
  }
}
