/** Whether the kernel still has the panel's comm: without it, the page would show an old state, and clicks would wait. */

import { SILENT } from "./components";
import type { Model } from "./model";
import type { Store } from "./store";

/** The comm target of all widgets. */
const TARGET = "jupyter.widget";

/**
 * While the kernel does not react to the page's messages, ask it for its comms; end the store if ours is gone.
 *
 * A busy kernel answers when its cell ends. A restart by another window, for instance, leaves the page without a comm.
 * Returns a function that stops the checks.
 */
export function watchComm(model: Model, store: Store): () => void {
  let isAsking = false;
  const check = async () => {
    const kernel = model.widget_manager?.kernel;
    if (isAsking || store.ended || !kernel?.requestCommInfo || !store.isUnheard(SILENT)) return;
    isAsking = true;
    try {
      const { content } = await kernel.requestCommInfo({ target_name: TARGET });
      if (content.comms && !(model.get("comm_id") in content.comms)) store.end();
      else store.noteHeard();
    } catch {
      // The kernel is gone, and its connection says so elsewhere.
    } finally {
      isAsking = false;
    }
  };
  const timer = setInterval(() => void check(), SILENT);
  return () => clearInterval(timer);
}
