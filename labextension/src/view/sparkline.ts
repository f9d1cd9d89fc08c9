import { cls, h } from "./dom";

/** A chart of the last minute's traffic. */
export function sparkline(values: readonly number[]): HTMLElement {
  const most = Math.max(...values, 1);
  // The square root keeps a query visible next to a download.
  const points = values.map((value, index) => {
    const across = (index * 96) / (values.length - 1) + 2;
    return `${across.toFixed(1)} ${(22 - 18 * Math.sqrt(value / most)).toFixed(1)}`;
  });
  const line = `M${points.join("L")}`;
  return h(
    "svg",
    {
      viewBox: "0 0 100 24",
      class: cls("sparkline"),
      "data-idle": values.every((value) => !value),
      "aria-hidden": "true",
      preserveAspectRatio: "none",
    },
    h("path", { class: cls("area"), d: `${line}L98 23L2 23Z` }),
    h("path", { class: cls("line"), d: line }),
  );
}
