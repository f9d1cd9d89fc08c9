/**
 * What somebody is typing outlives its field: a section that goes for a while, since the server cannot be reached or one
 * becomes somebody else, comes back with the text, the cursor and the focus.
 */
export class InputRestore {
  private lost: HTMLInputElement | null = null;

  /** Take in that the page was drawn anew; `focused` had the focus before. */
  restore(within: HTMLElement, focused: Element | null): void {
    if (focused instanceof HTMLInputElement && !focused.isConnected && focused.form?.dataset.form) {
      this.lost = focused;
    }
    const again = this.lost && within.querySelector<HTMLInputElement>(selector(this.lost));
    if (!this.lost || !again) return;
    const { value, selectionStart, selectionEnd } = this.lost;
    this.lost = null;
    again.value = value;
    // Whoever has gone on to something else is left there.
    const { activeElement } = document;
    if (activeElement !== document.body && !within.contains(activeElement)) return;
    again.focus();
    again.setSelectionRange(selectionStart, selectionEnd);
  }
}

function selector({ form, name }: HTMLInputElement): string {
  return `[data-form="${CSS.escape(form?.dataset.form ?? "")}"] input[name="${CSS.escape(name)}"]`;
}
