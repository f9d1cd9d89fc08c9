/** Pixels between a menu and its button, and between a menu and the edge of the window. */
const GAP = 2;
const EDGE = 4;

/** Place a menu below its button, or above it where there is no room; always inside the window. */
export function placeMenu(menu: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const below = at.bottom + GAP + height < window.innerHeight;
  const top = below ? at.bottom + GAP : at.top - GAP - height;
  const left = Math.min(at.right - width, window.innerWidth - width - EDGE);
  menu.style.top = `${String(Math.max(EDGE, top))}px`;
  menu.style.left = `${String(Math.max(EDGE, left))}px`;
}
