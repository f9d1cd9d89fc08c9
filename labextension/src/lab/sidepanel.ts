/** The side panel: the widget of the kernel in front, or the content for a state without a widget. */

import type { IRenderMime } from "@jupyterlab/rendermime";
import type { LabIcon } from "@jupyterlab/ui-components";
import { Panel, Widget } from "@lumino/widgets";
import { h } from "../view/dom";
import type { KernelTracker, TrackedState } from "./kernelTracker";
import { asleepIcon, formatIcon, historyIcon, newCellIcon, panelIcon, troubleIcon } from "./icons";
import type { KernelComm } from "./kernelComm";
import { COMMANDS, getEmptyState, TROUBLE, type EmptyState, type Action } from "./emptyStates";
import type { PluginTranslator } from "./language";

export const PANEL_ID = "sspcloud-panel";
const WIDGET = "application/vnd.jupyter.widget-view+json";
const CLASS = "jp-SSPCloudSide";

/** A rendered widget, kept as long as its document, so that typed text is not lost. */
interface Shown {
  readonly modelId: string;
  readonly widget: IRenderMime.IRenderer;
}

/** A button for an action. */
function actionButton({ label, action }: EmptyState["actions"][number]): HTMLElement {
  return h(
    "button",
    { type: "button", class: "jp-SSPCloudSide-step", "data-action": JSON.stringify(action) },
    label,
  );
}

/** An icon with a tooltip, as in JupyterLab's toolbars: three buttons with a text would take three lines. */
function toolButton(icon: LabIcon, label: string, action: Action): HTMLElement {
  return h(
    "button",
    {
      type: "button",
      class: "jp-SSPCloudSide-tool",
      title: label,
      "aria-label": label,
      "data-action": JSON.stringify(action),
    },
    icon.element({ tag: "span" }),
  );
}

export class SidePanel extends Panel {
  private readonly shown = new Map<KernelComm, Shown>();
  private readonly reason = new Widget();
  /** Buttons for the cells of the notebook in front. */
  private readonly row = new Widget();

  /**
   * @param tracker - Reports the state to show.
   * @param take - Runs the action of a button.
   * @param trans - The translator.
   */
  constructor(
    private readonly tracker: KernelTracker,
    private readonly take: (action: Action) => void,
    private readonly trans: PluginTranslator,
  ) {
    super();
    this.id = PANEL_ID;
    this.addClass(CLASS);
    this.title.icon = panelIcon;
    this.title.caption = trans.__("SSPCloud");
    this.node.setAttribute("data-lm-suppress-shortcuts", "true");
    this.reason.addClass("jp-SSPCloudSide-reason");
    this.reason.node.setAttribute("role", "region");
    this.reason.node.setAttribute("aria-label", trans.__("SSPCloud"));
    this.reason.node.addEventListener("click", (event) => this.click(event));
    this.row.addClass("jp-SSPCloudSide-row");
    this.row.node.setAttribute("role", "group");
    this.row.node.addEventListener("click", (event) => this.click(event));
    this.node.addEventListener("sspcloud:panel-ended", () => tracker.current.kernelComm?.askAgain());
    this.addWidget(this.row);
    this.addWidget(this.reason);
    tracker.changed.connect(this.refresh, this);
    trans.changed.connect(this.translate, this);
    this.translate();
  }

  override dispose(): void {
    this.tracker.changed.disconnect(this.refresh, this);
    this.trans.changed.disconnect(this.translate, this);
    super.dispose();
  }

  /** Focus the first control when a command activates the panel. */
  protected override onActivateRequest(): void {
    // Wait until the command palette has returned the focus to the document.
    setTimeout(() => {
      const node = this.widgets.find((each) => !each.isHidden)?.node;
      const first =
        node?.querySelector<HTMLElement>("button, input") ?? node?.querySelector<HTMLElement>("h2");
      first?.focus();
    });
  }

  /** Write all texts again, after a change of the language. */
  private translate(): void {
    const { trans } = this;
    this.row.node.setAttribute("aria-label", trans.__("SQL cells"));
    this.row.node.replaceChildren(
      toolButton(newCellIcon, trans.__("New SQL cell"), { command: COMMANDS.newSqlCell }),
      toolButton(formatIcon, trans.__("Format SQL"), { command: COMMANDS.formatSql }),
      toolButton(historyIcon, trans.__("Past statements"), { insert: "%queries" }),
    );
    this.node.lang = trans.language;
    this.refresh();
  }

  private refresh(): void {
    const { state, kernelComm } = this.tracker.current;
    this.trans.followKernel(state.kind === "live" ? state.language : null);
    const live = state.kind === "live" && kernelComm ? this.live(kernelComm, state.modelId) : null;
    for (const { widget } of this.shown.values()) widget.setHidden(widget !== live);
    const focused = this.reason.node.contains(document.activeElement);
    this.reason.setHidden(live !== null);
    this.row.setHidden(live === null);
    // The pressed button is gone: focus the widget, not the page.
    if (live && focused) live.node.focus();
    if (state.kind !== "live") this.explain({ state, kernelComm }, getEmptyState(state, this.trans));
  }

  /** Return the widget of a kernel, rendered like an output of its document. */
  private live(kernelComm: KernelComm, modelId: string): IRenderMime.IRenderer {
    const known = this.shown.get(kernelComm);
    if (known?.modelId === modelId) return known.widget;
    known?.widget.dispose();
    const { rendermime, widget: document } = kernelComm.document;
    const renderer = rendermime.createRenderer(WIDGET);
    const data = { [WIDGET]: { version_major: 2, version_minor: 0, model_id: modelId } };
    void renderer.renderModel({ data, metadata: {}, trusted: true, setData: () => undefined });
    renderer.addClass("jp-SSPCloudSide-live");
    renderer.node.tabIndex = -1;
    this.shown.set(kernelComm, { modelId, widget: renderer });
    if (!known) document.disposed.connect(() => this.drop(kernelComm), this);
    this.addWidget(renderer);
    return renderer;
  }

  private drop(kernelComm: KernelComm): void {
    this.shown.get(kernelComm)?.widget.dispose();
    this.shown.delete(kernelComm);
  }

  private explain({ state }: TrackedState, reason: EmptyState): void {
    const icon = TROUBLE.has(state.kind) ? troubleIcon : state.kind === "no-kernel" ? asleepIcon : panelIcon;
    const focused = this.reason.node.contains(document.activeElement);
    const actions = reason.actions.map(actionButton);
    this.reason.node.replaceChildren(
      icon.element({ tag: "span", className: "jp-SSPCloudSide-icon" }),
      h("h2", { class: "jp-SSPCloudSide-title", tabindex: "-1" }, reason.title),
      h(
        "p",
        { class: "jp-SSPCloudSide-text", role: "status", "aria-busy": reason.waiting && "true" },
        reason.text,
      ),
      ...(reason.code ? [h("code", { class: "jp-SSPCloudSide-code" }, reason.code)] : []),
      h("div", { class: "jp-SSPCloudSide-steps" }, actions),
    );
    if (focused) this.reason.node.querySelector("h2")?.focus();
  }

  private click(event: Event): void {
    const button =
      event.target instanceof Element ? event.target.closest<HTMLElement>("[data-action]") : null;
    if (button?.dataset.action) this.take(JSON.parse(button.dataset.action) as Action);
  }
}
