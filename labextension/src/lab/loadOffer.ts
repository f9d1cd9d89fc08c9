import { Notification } from "@jupyterlab/apputils";
import type { KernelTracker } from "./kernelTracker";
import type { Trans } from "./language";

/** Offer to load the extension when a cell uses one of its magics without it; `always` sets the setting. */
export function offerToLoad(tracker: KernelTracker, trans: Trans, always: () => void): void {
  // One offer for a kernel, until it is taken or dismissed.
  let shown = "";
  tracker.missing.connect((_, { kernelComm, magic }) => {
    if (shown && Notification.manager.has(shown)) return;
    const load = () => void kernelComm.load();
    shown = Notification.warning(
      trans.__("%%1 belongs to sspcloud_magics, which this kernel has not loaded.", magic),
      {
        autoClose: false,
        actions: [
          { label: trans.__("Load the extension"), displayType: "accent", callback: load },
          {
            label: trans.__("Always"),
            caption: trans.__("Load the extension automatically"),
            callback: () => {
              always();
              load();
            },
          },
        ],
      },
    );
  });
}
