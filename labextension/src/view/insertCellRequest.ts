/** Request a new cell from JupyterLab's plugin; without the plugin (VS Code), the request has no effect. */

export const INSERT = "sspcloud:insert-cell";

/** Put a source below the active cell of the notebook; return whether the plugin has done so. */
export function requestCell(from: Element, source: string): boolean {
  return !from.dispatchEvent(
    new CustomEvent(INSERT, { bubbles: true, cancelable: true, composed: true, detail: { source } }),
  );
}
