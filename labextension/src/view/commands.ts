/** Commands to the kernel, as `sspcloud_magics/widgets/commands.py` defines them. */

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

/** The input of the share dialog. */
export interface ShareRequest {
  database: string;
  colleagues: string;
  write: boolean;
  /** The selected or typed names; "all" without a choice. */
  schemas: string[] | "all";
  lasts: string;
}

/** The keys of the buttons: the kernel reports the outcome of a command under its key. */
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
  /** The form for the name of a database. */
  connectNamed: "connect",
  revoke: (share: string) => `revoke ${share}`,
  startSandbox: "start sandbox",
  stopSandbox: "stop sandbox",
  resetSandbox: "reset sandbox",
  become: (person: string) => `become ${person}`,
  lookAgain: "again",
};
