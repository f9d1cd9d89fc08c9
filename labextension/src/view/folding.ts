/** The folded sections, kept in the browser. */

const STORED = "sspcloud-magics:folded";

export function readFolded(): Set<string> {
  try {
    const names: unknown = JSON.parse(localStorage.getItem(STORED) ?? "[]");
    return new Set(Array.isArray(names) ? names.map(String) : []);
  } catch {
    return new Set(); // a page without storage
  }
}

export function saveFolded(names: ReadonlySet<string>): void {
  try {
    localStorage.setItem(STORED, JSON.stringify([...names]));
  } catch {
    // The choice lasts as long as the page.
  }
}
