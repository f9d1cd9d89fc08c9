/** Asks JupyterLab's plugin for a new cell; where there is none (Notebook 7, VS Code), nobody answers. */

export const INSERT = "sspcloud:insert-cell";

/** Put a source below the active cell of the notebook; whether somebody has done it. */
export function requestCell(from: Element, source: string): boolean {
  return !from.dispatchEvent(
    new CustomEvent(INSERT, { bubbles: true, cancelable: true, composed: true, detail: { source } }),
  );
}
