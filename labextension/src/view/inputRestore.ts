/**
 * Keep the text, the cursor and the focus of a field whose section disappears for a while: because the server is
 * unreachable, or because the user changes.
 */
export class InputRestore {
  private lost: HTMLInputElement | null = null;

  /** Restore the input after a render; `focused` had the focus before it. */
  restore(within: HTMLElement, focused: Element | null): void {
    if (focused instanceof HTMLInputElement && !focused.isConnected && focused.form?.dataset.form) {
      this.lost = focused;
    }
    const again = this.lost && within.querySelector<HTMLInputElement>(selector(this.lost));
    if (!this.lost || !again) return;
    const { value, selectionStart, selectionEnd } = this.lost;
    this.lost = null;
    again.value = value;
    // Do not take the focus from an element outside the panel.
    const { activeElement } = document;
    if (activeElement !== document.body && !within.contains(activeElement)) return;
    again.focus();
    again.setSelectionRange(selectionStart, selectionEnd);
  }
}

function selector({ form, name }: HTMLInputElement): string {
  return `[data-form="${CSS.escape(form?.dataset.form ?? "")}"] input[name="${CSS.escape(name)}"]`;
}
