/** What the kernel tells: a fact is a small value under a key, as `sspcloud_magics/widgets/snapshots.py` makes it. */

export type Tone = "good" | "waiting" | "bad" | "over";

/** The number of a port, and its name. */
export type Port = [number, string];

export interface Who {
  user: string;
  namespace: string;
  server: string;
  source: string;
  /** The namespaces that were used, the first one first. */
  namespaces: string[];
  role: "admin" | "edit" | "view" | "none";
  /** When the login ends, in seconds since 1970; null where nobody can tell. */
  ends: number | null;
  /** Whether the token is renewed without anybody's doing, and whether it can be by a click. */
  renews: boolean;
  renewable: boolean;
  /** Whether the server's certificate is not verified. */
  unverified: boolean;
  /** Whether the kernel runs inside the cluster. */
  remote: boolean;
}

/** Where one finds one's login script. */
export interface Account {
  page: string;
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
  /** Whether it is in one's own namespace. */
  mine: boolean;
}

export interface Share {
  database: string;
  colleague: string;
  access: string;
  schemas: string;
  state: string;
  tone: Tone;
  until: number;
  /** The sessions that the colleague has open; null where nobody has asked. */
  sessions: Open | null;
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
  /** What the user should know: another local port than they may expect. */
  notes: string;
  /** The line that opens the same forward. */
  magic: string;
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
  /** Whether it holds what was done in it before. */
  keeps?: boolean;
}

export interface Trouble {
  code: string;
  family: string;
  what: string;
  why: string;
  mend: string;
}

/** What became of a command. */
export interface Outcome {
  id: string;
  state: "pending" | "done" | "failed";
  error?: Trouble;
  /** In how many pieces its answer comes. */
  pieces?: number;
}

/** A piece of an answer: the id of the command, and a part of a JSON text. */
export type Piece = [string, string];

/** What sharing would make. */
export interface Plan {
  colleagues: string[];
  roles: string[];
  read_write: boolean;
  schemas: string[];
  /** All schemas of the database. */
  every: string[];
  until: number;
  objects: string[];
  notes: string[];
  sql: string;
  yaml: string;
}

/** A share that was made. */
export interface Made {
  line: string;
  colleagues: string[];
  until: number;
  notes: string[];
}

/** Schema, name, kind, about how many rows, bytes, comment, owner (empty where that is you). */
export type Table = [string, string, string, number | null, number | null, string, string];

export interface Tables {
  tables: Table[];
  /** How many there are. */
  all: number;
}

/** Name, type, whether it may be empty, comment. */
export type Column = [string, string, boolean, string];

export interface Columns {
  columns: Column[];
  all: number;
  /** A SELECT of them, quoted where SQL needs it. */
  select: string;
}

/** How many sessions are open, and when the oldest of them began; null where there is none. */
export type Open = [number, number | null];

/** The sessions that each colleague has open, by `database/colleague`. */
export type Sessions = Record<string, Open>;

/** The facts of which there is one. */
export interface Singles {
  who: Who;
  sandbox: Sandbox;
  account: Account;
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
  answer: Piece;
  /** True, or why the cluster could not be asked. */
  look: true | Trouble;
}

/** What a message of the kernel holds: everything, or what changes, where null stands for what is gone. */
export interface SnapshotMessage {
  whole?: Record<string, unknown>;
  part?: Record<string, unknown>;
}
