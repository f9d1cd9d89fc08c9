/** Visibility of the view: the kernel sends no request to the cluster for a hidden panel. */

/** Milliseconds between two reports of a visible view. */
const BEAT = 15_000;

/**
 * Call `tell` when the view becomes visible or hidden, and regularly while it is visible.
 *
 * Returns a function that tells whether it is visible now.
 */
export function watchVisibility(
  root: Element,
  tell: (seen: boolean) => void,
  signal: AbortSignal,
): () => boolean {
  let onScreen = true;
  const seen = () => onScreen && document.visibilityState === "visible";
  const observer = new IntersectionObserver((entries) => {
    const before = seen();
    onScreen = entries.at(-1)?.isIntersecting ?? onScreen;
    if (seen() !== before) tell(seen());
  });
  observer.observe(root);
  document.addEventListener(
    "visibilitychange",
    () => {
      if (onScreen) tell(seen());
    },
    { signal },
  );
  const beat = setInterval(() => {
    if (seen()) tell(true);
  }, BEAT);
  signal.addEventListener("abort", () => {
    observer.disconnect();
    clearInterval(beat);
  });
  return seen;
}
