/**
 * Detect a press on a button, to delay rendering: an update could move the button from under the pointer. A press on
 * one element that ends on another is not a click.
 */

/** Milliseconds after which a press no longer counts: its end may have gone to another window. */
const LONGEST = 2_000;

/** Call `released` after each press and its click; return a function that tells whether a button is pressed. */
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
