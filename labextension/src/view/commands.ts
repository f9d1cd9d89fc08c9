/** What a click asks the kernel for: the commands of `sspcloud_magics/widgets/commands.py`. */

export type Command =
  | { do: "log in"; script: string }
  | { do: "renew" }
  | { do: "namespace"; namespace: string }
  | { do: "forward"; kind: string; name: string; port: number }
  | { do: "stop"; forward: number }
  | { do: "restart"; forward: number }
  | { do: "connect"; database: string }
  | { do: "tables"; database: string }
  | { do: "columns"; database: string; schema: string; table: string }
  | { do: "schemas"; database: string }
  | ({ do: "plan share" | "share" } & ShareRequest)
  | { do: "revoke"; database: string; colleague: string }
  | { do: "sessions" }
  | { do: "start sandbox" }
  | { do: "stop sandbox" }
  | { do: "reset sandbox" }
  | { do: "become"; person: string }
  | { do: "look again" };

/** What is to be shared, as it was filled in. */
export interface ShareRequest {
  database: string;
  colleagues: string;
  write: boolean;
  /** Their names as they were ticked or filled in; "all" where nobody has chosen. */
  schemas: string[] | "all";
  lasts: string;
}

/** The keys of the buttons: what becomes of a command is told under its key. */
export const keys = {
  logIn: "log in",
  renew: "renew",
  namespace: "namespace",
  restart: (forward: string) => `restart ${forward}`,
  tables: (database: string) => `tables ${database}`,
  columns: (database: string, schema: string, table: string) => `columns ${database} ${schema}.${table}`,
  schemas: (database: string) => `schemas ${database}`,
  planShare: (database: string) => `plan share ${database}`,
  share: (database: string) => `share ${database}`,
  sessions: "sessions",
  forward: (kind: string, name: string, port: number) => `forward ${kind}/${name}:${String(port)}`,
  stop: (forward: string) => `stop ${forward}`,
  connect: (database: string) => `connect ${database}`,
  /** The form for a database that is named. */
  connectNamed: "connect",
  revoke: (share: string) => `revoke ${share}`,
  startSandbox: "start sandbox",
  stopSandbox: "stop sandbox",
  resetSandbox: "reset sandbox",
  become: (person: string) => `become ${person}`,
  lookAgain: "again",
};
