/** The status bar item: the number of open forwards, and a warning. */

import type { IStatusBar } from "@jupyterlab/statusbar";
import { Signal } from "@lumino/signaling";
import { Widget } from "@lumino/widgets";
import { h } from "../view/dom";
import type { KernelTracker } from "./kernelTracker";
import { panelIcon, troubleIcon } from "./icons";
import type { Summary } from "./state";
import type { PluginTranslator, Trans } from "./language";

/** Seconds before the expiry of the login from which the panel warns. */
export const SOON = 10 * 60;
/** Milliseconds between two checks of the login's expiry. */
const MINUTE = 60_000;

export interface StatusText {
  readonly text: string;
  readonly trouble: boolean;
}

/** Return the item's text at a time in seconds since 1970. */
export function summarize({ forwards, troubled, ends }: Summary, now: number, trans: Trans): StatusText {
  const parts: string[] = [];
  if (ends !== null && ends <= now) parts.push(trans.__("login ended"));
  else if (ends !== null && ends - now < SOON) {
    const minutes = Math.ceil((ends - now) / 60);
    parts.push(trans._n("login ends in %1 minute", "login ends in %1 minutes", minutes));
  }
  if (troubled) parts.push(trans._n("%1 forward in trouble", "%1 forwards in trouble", troubled));
  const trouble = parts.length > 0;
  const fine = forwards - troubled;
  if (fine || !trouble) parts.unshift(trans._n("%1 forward", "%1 forwards", fine));
  return { text: parts.join(", "), trouble };
}

export class StatusItem extends Widget implements IStatusBar.IItem {
  readonly item = this;
  readonly align = "left";
  readonly rank = 40;
  readonly activeStateChanged = new Signal<this, void>(this);

  private readonly timer: number;

  constructor(
    private readonly tracker: KernelTracker,
    open: () => void,
    private readonly trans: PluginTranslator,
  ) {
    super();
    this.addClass("jp-SSPCloudStatus");
    this.node.addEventListener("click", open);
    tracker.changed.connect(this.refresh, this);
    trans.changed.connect(this.refresh, this);
    this.timer = window.setInterval(() => this.refresh(), MINUTE);
    this.refresh();
  }

  readonly isActive = (): boolean => this.tracker.current.state.kind === "live";

  override dispose(): void {
    clearInterval(this.timer);
    this.tracker.changed.disconnect(this.refresh, this);
    this.trans.changed.disconnect(this.refresh, this);
    Signal.clearData(this);
    super.dispose();
  }

  private refresh(): void {
    const { state } = this.tracker.current;
    if (state.kind === "live") {
      const { text, trouble } = summarize(state.summary, Date.now() / 1000, this.trans);
      const icon = (trouble ? troubleIcon : panelIcon).element({ tag: "span" });
      const label = this.trans.__("SSPCloud: %1. Open the panel.", text);
      const button = h(
        "button",
        {
          type: "button",
          class: "jp-SSPCloudStatus-button",
          "data-trouble": trouble,
          title: label,
          "aria-label": label,
        },
        icon,
        h("span", {}, text),
      );
      const before = this.node.firstElementChild;
      if (before?.outerHTML !== button.outerHTML) {
        const focused = before !== null && before === document.activeElement;
        this.node.replaceChildren(button);
        if (focused) button.focus();
      }
    }
    this.activeStateChanged.emit();
  }
}
