/** The widget's module for anywidget: one store per model, one view per place that shows it. */

import type { KernelMessage } from "./protocol";
import type { Model } from "./model";
import { Store } from "./store";
import { View } from "./view";
import { watchComm } from "./commCheck";

type Cleanup = () => void;

export default function panel() {
  const store = new Store();
  return {
    initialize({ model }: { model: Model }): Cleanup {
      const take = (message: KernelMessage) => store.apply(message);
      const end = () => store.end();
      model.on("msg:custom", take);
      model.on("comm_live_update", end);
      const endCheck = watchComm(model, store);
      return () => {
        endCheck();
        model.off("msg:custom", take);
        model.off("comm_live_update", end);
      };
    },
    render({ model, el }: { model: Model; el: HTMLElement }): Cleanup {
      const closing = new AbortController();
      const view = new View(model, store, el);
      const translate = () => view.draw();
      model.on("change:language", translate);
      view.run(closing.signal);
      return () => {
        model.off("change:language", translate);
        closing.abort();
      };
    },
  };
}
