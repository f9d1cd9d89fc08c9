/** The names of the magics: a cell that uses one without the extension gets the offer to load it. */
export const MAGICS: ReadonlySet<string> = new Set([
  "connect_db",
  "databases",
  "describe_table",
  "forward",
  "forwards",
  "k8s_apply",
  "k8s_delete",
  "k8s_describe",
  "k8s_doctor",
  "k8s_get",
  "k8s_login",
  "k8s_logs",
  "k8s_pods",
  "k8s_services",
  "k8s_whoami",
  "load_table",
  "queries",
  "query_db",
  "sandbox",
  "share",
  "share_db",
  "shares",
  "sspcloud",
  "tables",
  "unforward",
  "unshare",
]);

/** Return the magic that a cell's error output does not know, if it is one of ours. */
export function findMissingMagic(text: string): string | null {
  const name = /(?:Line|Cell) magic (?:function )?`%{1,2}(\w+)` not found/.exec(text)?.[1] ?? "";
  return MAGICS.has(name) ? name : null;
}
