/**
 * Change a tree into another. Elements that stay keep their focus, scroll position and text.
 *
 * An element with a `data-key` is matched by the key among its siblings, and one without by its position.
 * One with `data-same` is not changed, and of one with `data-part` only the moving part. Typed text is a property and not an attribute, so it stays.
 */
export function morph(live: Element, next: Element): void {
  if (next.hasAttribute("data-same")) return;
  if (next.hasAttribute("data-part")) {
    morphPart(live, next);
    return;
  }
  morphAttributes(live, next);
  const wanted = [...next.childNodes];
  const staying = new Set(wanted.map(keyOf).filter((key) => key !== null));
  const known = new Map<string, ChildNode>();
  for (const child of [...live.childNodes]) {
    const key = keyOf(child);
    if (key === null) continue;
    if (staying.has(key)) known.set(key, child);
    else child.remove();
  }
  let at: ChildNode | null = live.firstChild;
  for (const want of wanted) {
    const found = match(want, at, known);
    if (!found) {
      live.insertBefore(want, at);
      continue;
    }
    if (found === at || staysWhereItIs(live, found, at)) at = found.nextSibling;
    else live.insertBefore(found, at);
    if (found instanceof Element && want instanceof Element) morph(found, want);
    else if (found.nodeValue !== want.nodeValue) found.nodeValue = want.nodeValue;
  }
  while (at) {
    const rest: ChildNode = at;
    at = at.nextSibling;
    rest.remove();
  }
}

/** Change only the moving part of an element, `data-moving`. */
function morphPart(live: Element, next: Element): void {
  const part = live.querySelector("[data-moving]");
  if (part && next.firstElementChild) morph(part, next.firstElementChild);
  live.setAttribute("data-shows", next.getAttribute("data-shows") ?? "");
}

/**
 * Move the nodes before `found` behind it, instead of moving `found`; return whether that was done.
 *
 * A moved element loses its focus and its scroll position. So move nodes without a key, which mostly disappear, and
 * any node that is in the way of the focused element.
 */
function staysWhereItIs(live: Element, found: ChildNode, at: ChildNode | null): boolean {
  if (at && keyOf(at) !== null && !found.contains(document.activeElement)) return false;
  const behind = found.nextSibling;
  while (at && at !== found) {
    const between: ChildNode = at;
    at = at.nextSibling;
    live.insertBefore(between, behind);
  }
  return true;
}

function match(want: Node, at: ChildNode | null, known: Map<string, ChildNode>): ChildNode | null {
  const key = keyOf(want);
  if (key !== null) return known.get(key) ?? null;
  return at && keyOf(at) === null && at.nodeName === want.nodeName ? at : null;
}

function morphAttributes(live: Element, next: Element): void {
  // Names are strings; `attributes` would make an object of each.
  for (const name of live.getAttributeNames()) {
    // The reader opens and closes details.
    const isReaders = name === "open" && live.localName === "details";
    if (!isReaders && !next.hasAttribute(name)) live.removeAttribute(name);
  }
  for (const name of next.getAttributeNames()) {
    const value = next.getAttribute(name) ?? "";
    if (live.getAttribute(name) !== value) live.setAttribute(name, value);
  }
}

function keyOf(node: Node): string | null {
  return node instanceof Element ? node.getAttribute("data-key") : null;
}
