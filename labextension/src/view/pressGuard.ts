/**
 * Whether a button is being pressed: news that were drawn meanwhile might move it from under the pointer, and a press
 * on one thing with its release on another is no click.
 */

/** Milliseconds after which a press is taken for something else: its end may have gone elsewhere. */
const LONGEST = 2_000;

/** Call `released` after each press, when its click has been born; returns whether something is pressed now. */
export function watchPress(root: Element, released: () => void, signal: AbortSignal): () => boolean {
  let since = 0;
  root.addEventListener(
    "pointerdown",
    ({ target }) => {
      if (target instanceof Element && target.closest("button, a")) since = Date.now();
    },
    { signal },
  );
  const release = () => {
    if (since) setTimeout(released);
    since = 0;
  };
  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, release, { signal, capture: true });
  }
  return () => since > 0 && Date.now() - since < LONGEST;
}
