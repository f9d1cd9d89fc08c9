/** Whether anybody sees the view: the kernel asks the cluster nothing while nobody does. */

/** Milliseconds between two signs of life. */
const BEAT = 15_000;

/**
 * Call `tell` whenever the view comes into sight or goes out of it, and now and then while it is seen.
 *
 * Returns whether it is seen now.
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
