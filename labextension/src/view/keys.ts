/** The keys of the buttons: the kernel reports the outcome of a command under its key. */
export const keys = {
  logIn: "log-in",
  renew: "renew",
  namespace: "namespace",
  restart: (forward: string) => `restart ${forward}`,
  tables: (database: string) => `tables ${database}`,
  columns: (database: string, schema: string, table: string) => `columns ${database} ${schema}.${table}`,
  schemas: (database: string) => `schemas ${database}`,
  previewShare: (database: string) => `preview ${database}`,
  share: (database: string) => `share ${database}`,
  sessions: "sessions",
  forward: (kind: string, name: string, port: number) => `forward ${kind}/${name}:${String(port)}`,
  stop: (forward: string) => `stop ${forward}`,
  connect: (database: string) => `connect ${database}`,
  /** The form for the name of a database. */
  connectNamed: "connect",
  revoke: (share: string) => `revoke ${share}`,
  startSandbox: "start-sandbox",
  stopSandbox: "stop-sandbox",
  resetSandbox: "reset-sandbox",
  actAs: (person: string) => `act-as ${person}`,
  refresh: "refresh",
};
