/** Links from the browser to a local port of the kernel's machine. */

/** The page's address and its Jupyter server. */
export interface Page {
  origin: string;
  /** The base path of the Jupyter server, such as `/user/bob/`; empty for a page from elsewhere. */
  base: string;
  /** Whether the page lists jupyter-server-proxy, which may be installed since the server's start, and not run. */
  lists: boolean;
  /** Whether jupyter-server-proxy answers. */
  proxy: boolean;
}

/** An address, or the lack of a proxy; null for a port that a browser cannot use. */
export type PortLink = { href: string } | "needs proxy" | null;

const HERE = /^https?:\/\/(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/;
/** Ports of databases, which a browser cannot use. */
const NOT_WEB: (number | string)[] = [1433, 3306, 5432, 6379, 7687, 27017, "postgres", "postgresql", "mysql"];

/** Return the link to a local port that leads to `remote`; `inCluster` means that the kernel runs on another machine. */
export function linkToPort(local: number, remote: number | string, page: Page, inCluster: boolean): PortLink {
  if (NOT_WEB.includes(remote) || !local) return null;
  if (HERE.test(page.origin) && !inCluster) return { href: `http://localhost:${local}/` };
  if (!page.base || !page.proxy) return "needs proxy";
  return { href: `${page.origin}${page.base}proxy/${local}/` };
}

/** The parsed configurations: the text is long and never changes. */
const read = new WeakMap<Element, Page>();

/** Ask the server whether it runs jupyter-server-proxy, and note the answer in the page. */
export async function askForProxy(page: Page): Promise<void> {
  if (!page.lists) return;
  const answer = await fetch(`${page.base}server-proxy/servers-info`).catch(() => null);
  page.proxy = answer?.ok ?? false;
}

/** Read the configuration that JupyterLab and Notebook 7 put into their pages. */
export function readPage(document: Document): Page {
  const config = document.getElementById("jupyter-config-data");
  if (!config) return parse("{}", document.location.origin);
  const page = read.get(config) ?? parse(config.textContent, document.location.origin);
  read.set(config, page);
  return page;
}

function parse(text: string, origin: string): Page {
  try {
    const told = JSON.parse(text) as { baseUrl?: string; federated_extensions?: { name: string }[] };
    const lists = told.federated_extensions?.some(({ name }) => name.endsWith("jupyter-server-proxy"));
    return { origin, base: told.baseUrl ?? "", lists: lists ?? false, proxy: false };
  } catch {
    return { origin, base: "", lists: false, proxy: false };
  }
}
