/** What a click asks the kernel for: the orders of `sspcloud_magics/widgets/orders.py`. */

export type Order =
  | { do: "forward"; kind: string; name: string; port: number }
  | { do: "stop"; forward: number }
  | { do: "connect"; database: string }
  | { do: "revoke"; database: string; colleague: string }
  | { do: "start sandbox" }
  | { do: "stop sandbox" }
  | { do: "become"; person: string }
  | { do: "look again" };

/** The keys of the buttons: what becomes of an order is told under its key. */
export const keys = {
  forward: (kind: string, name: string, port: number) => `forward ${kind}/${name}:${String(port)}`,
  stop: (forward: string) => `stop ${forward}`,
  connect: (database: string) => `connect ${database}`,
  /** The form for a database that is named. */
  connectNamed: "connect",
  revoke: (share: string) => `revoke ${share}`,
  startSandbox: "start sandbox",
  stopSandbox: "stop sandbox",
  become: (person: string) => `become ${person}`,
  lookAgain: "again",
};
