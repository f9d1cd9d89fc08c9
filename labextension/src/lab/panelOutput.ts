/** A panel in an output: the saved text, until the kernel's widget is there. */

import type { INotebookTracker } from "@jupyterlab/notebook";
import type { IConsoleTracker } from "@jupyterlab/console";
import type { IRenderMime, IRenderMimeRegistry } from "@jupyterlab/rendermime";
import { Panel } from "@lumino/widgets";

const WIDGET = "application/vnd.jupyter.widget-view+json";
const TEXT = "text/html";

/** The mark of a panel's output, as `sspcloud_magics/widgets/widget.py` writes it. */
const MIME = "application/vnd.sspcloud.panel+json";
/** Before the widget's own rank, which is -10. */
const RANK = -20;

/**
 * Text and widget of the same output. The style sheet hides the text when the widget is drawn: JupyterLab's renderer of
 * widgets shows "Loading widget…" or an error where the kernel has no such model, as in a notebook opened again.
 */
class PanelOutput extends Panel implements IRenderMime.IRenderer {
  constructor(private readonly rendermime: IRenderMimeRegistry) {
    super();
    this.addClass("jp-SSPCloudOutput");
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    for (const old of [...this.widgets]) old.dispose();
    const known = [TEXT, WIDGET].filter(
      (mimeType) => mimeType in model.data && this.rendermime.mimeTypes.includes(mimeType),
    );
    const [text, widget] = known.map((mimeType) => {
      const renderer = this.rendermime.createRenderer(mimeType);
      renderer.addClass(`jp-SSPCloudOutput-${mimeType === TEXT ? "text" : "widget"}`);
      this.addWidget(renderer);
      return renderer;
    });
    // The widget waits for the kernel.
    void widget?.renderModel(model);
    await text?.renderModel(model);
  }
}

/** Render the panels in notebooks and consoles. */
export function renderPanels(notebooks: INotebookTracker | null, consoles: IConsoleTracker | null): void {
  const register = (rendermime: IRenderMimeRegistry) =>
    rendermime.addFactory(
      { safe: false, mimeTypes: [MIME], createRenderer: () => new PanelOutput(rendermime) },
      RANK,
    );
  notebooks?.forEach((each) => register(each.content.rendermime));
  notebooks?.widgetAdded.connect((_, each) => register(each.content.rendermime));
  consoles?.forEach((each) => register(each.console.rendermime));
  consoles?.widgetAdded.connect((_, each) => register(each.console.rendermime));
}
