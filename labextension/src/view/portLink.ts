/** How a browser gets to a local port of the kernel's machine. */

/** What is known of the page. */
export interface Page {
  origin: string;
  /** Where the Jupyter server is, such as `/user/bob/`; empty where the page is none of its. */
  base: string;
  /** Whether jupyter-server-proxy is there. */
  proxy: boolean;
}

/** An address; that a proxy is missing; or null where there is nothing for a browser. */
export type PortLink = { href: string } | "needs proxy" | null;

const HERE = /^https?:\/\/(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/;
/** Ports of databases: a browser has nothing to say to them. */
const NOT_WEB: (number | string)[] = [1433, 3306, 5432, 6379, 7687, 27017, "postgres", "postgresql", "mysql"];

/** The way to a local port that leads to `remote`; `inCluster` says that the kernel is not on the browser's machine. */
export function linkToPort(local: number, remote: number | string, page: Page, inCluster: boolean): PortLink {
  if (NOT_WEB.includes(remote) || !local) return null;
  if (HERE.test(page.origin) && !inCluster) return { href: `http://localhost:${local}/` };
  if (!page.base || !page.proxy) return "needs proxy";
  return { href: `${page.origin}${page.base}proxy/${local}/` };
}

/** What was read of a page; it is long, and stays as it is. */
const read = new WeakMap<Element, Page>();

/** What JupyterLab and Notebook 7 say of themselves in their pages. */
export function readPage(document: Document): Page {
  const config = document.getElementById("jupyter-config-data");
  if (!config) return { origin: document.location.origin, base: "", proxy: false };
  const page = read.get(config) ?? parse(config.textContent, document.location.origin);
  read.set(config, page);
  return page;
}

function parse(text: string, origin: string): Page {
  try {
    const told = JSON.parse(text) as { baseUrl?: string; federated_extensions?: { name: string }[] };
    const proxy = told.federated_extensions?.some(({ name }) => name.endsWith("jupyter-server-proxy"));
    return { origin, base: told.baseUrl ?? "", proxy: proxy ?? false };
  } catch {
    return { origin, base: "", proxy: false };
  }
}
