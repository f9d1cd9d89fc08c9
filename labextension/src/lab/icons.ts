/** The icons: a cloud with what runs in it, in the theme's colours. */

import { LabIcon } from "@jupyterlab/ui-components";

const CLOUD = "M6.6 16H5.9a4 4 0 0 1-.3-8 6 6 0 0 1 11.5-.2 4.2 4.2 0 0 1 1 8.2h-.7";

const drawIcon = (...paths: string[]) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3 jp-SSPCloudIcon">${paths
    .map((path) => `<path d="${path}"/>`)
    .join("")}</g></svg>`;

/** The panel. */
export const panelIcon = new LabIcon({
  name: "sspcloud-magics:panel",
  svgstr: drawIcon(
    "M6.6 18H5.9a4 4 0 0 1-.3-8 6 6 0 0 1 11.5-.2 4.2 4.2 0 0 1 1 8.2Z",
    "M9 14h.01M12 14h.01M15 14h.01",
  ),
});

/** No kernel is running. */
export const asleepIcon = new LabIcon({
  name: "sspcloud-magics:asleep",
  svgstr: drawIcon(CLOUD, "M9.5 13h5l-5 7h5"),
});

/** The user has to act. */
export const troubleIcon = new LabIcon({
  name: "sspcloud-magics:trouble",
  svgstr: drawIcon(CLOUD, "M12 12v5m0 3.4v.1"),
});

/** A new cell below the active one. */
export const newCellIcon = new LabIcon({
  name: "sspcloud-magics:new-cell",
  svgstr: drawIcon("M4 4h16v7H4Z", "M12 14.5v6M9 17.5h6"),
});

/** Indented lines. */
export const formatIcon = new LabIcon({
  name: "sspcloud-magics:format",
  svgstr: drawIcon("M4 5h10M8 10h12M8 15h8M4 20h14"),
});

/** What has run before. */
export const historyIcon = new LabIcon({
  name: "sspcloud-magics:history",
  svgstr: drawIcon("M4.5 9.5a8 8 0 1 1-.4 4", "M4 4.5v5h5", "M12 8v4.5l3 2"),
});
