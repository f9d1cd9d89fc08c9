/** What the kernel tells: a fact is a small value under a key, as `sspcloud_magics/widgets/looks.py` makes it. */

export type Tone = "good" | "waiting" | "bad" | "over";

/** The number of a port, and its name. */
export type Port = [number, string];

export interface Who {
  user: string;
  namespace: string;
  server: string;
  source: string;
  warning: string;
}

export interface Pod {
  state: string;
  tone: Tone;
  ready: boolean;
  restarts: number;
  created: number | null;
  ports: Port[];
}

export interface Service {
  type: string;
  created: number | null;
  ports: Port[];
}

export interface Database {
  name: string;
  kind: string;
  state: string;
  tone: Tone;
}

export interface Share {
  database: string;
  colleague: string;
  access: string;
  schemas: string;
  state: string;
  tone: Tone;
  until: number;
}

export type ForwardState = "starting" | "active" | "reconnecting" | "stopped" | "failed";

export interface Forward {
  target: string;
  address: string;
  /** Local port, and the port or its name at the target. */
  ports: [number, number | string][];
  /** The paths of its Unix sockets, where it listens on those instead of ports. */
  sockets: string[];
  state: ForwardState;
  reason: string;
}

/** Bytes sent, bytes received, open connections. */
export type Traffic = [number, number, number];

export interface Connection {
  database: string;
  dbname: string;
  user: string;
  current: boolean;
}

export interface Sandbox {
  running: boolean;
  server: string;
}

export interface Trouble {
  code: string;
  family: string;
  what: string;
  why: string;
  mend: string;
}

/** What became of an order. */
export interface Outcome {
  id: string;
  state: "pending" | "done" | "failed";
  error?: Trouble;
}

/** The facts of which there is one. */
export interface Singles {
  who: Who;
  sandbox: Sandbox;
}

/** The facts of which there are many: `pod/NAME`. */
export interface Kinds {
  pod: Pod;
  service: Service;
  database: Database;
  share: Share;
  forward: Forward;
  traffic: Traffic;
  connection: Connection;
  order: Outcome;
  /** True, or why the cluster could not be asked. */
  look: true | Trouble;
}

/** What a message of the kernel holds: everything, or what changes, where null stands for what is gone. */
export interface Told {
  whole?: Record<string, unknown>;
  part?: Record<string, unknown>;
}
