/** Shorthand for elements. */

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path"]);

/** The content of an element; empty values are left out, arrays are flattened. */
export type Content = Node | string | number | false | null | undefined | readonly Content[];
export type Attributes = Record<string, string | number | boolean | null | undefined>;

/** An element; attributes that are false, null or undefined are left out. */
export function h(tag: string, attributes: Attributes = {}, ...children: Content[]): HTMLElement {
  const node = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...nodes(children));
  return node as HTMLElement;
}

/** Flatten content into nodes and texts. */
export function nodes(content: Content): (Node | string)[] {
  if (content === null || content === undefined || content === false || content === "") return [];
  if (typeof content === "string" || content instanceof Node) return [content];
  return typeof content === "number" ? [String(content)] : content.flatMap(nodes);
}

/** The CSS classes for parts of the panel. */
export function cls(...names: string[]): string {
  return names.map((name) => `jp-SSPCloudPanel-${name}`).join(" ");
}
