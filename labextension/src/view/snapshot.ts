/** The types of the kernel's snapshots: small values under keys, as `sspcloud_magics/widgets/snapshots.py` makes them. */

export type Tone = "good" | "waiting" | "bad" | "over";

/** The number of a port, and its name. */
export type Port = [number, string];

export interface Who {
  user: string;
  namespace: string;
  server: string;
  source: string;
  /** The namespaces used so far, the first one first. */
  namespaces: string[];
  role: "admin" | "edit" | "view" | "none";
  /** The expiry of the login, in seconds since 1970; null if unknown. */
  ends: number | null;
  /** Whether the token is renewed automatically, and whether a click can renew it. */
  renews: boolean;
  renewable: boolean;
  /** Whether the server's certificate is not verified. */
  unverified: boolean;
  /** Whether the kernel runs inside the cluster. */
  remote: boolean;
}

/** The page with the login script. */
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
  /** Whether it is in your namespace. */
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
  /** The colleague's open sessions; null if not requested yet. */
  sessions: Open | null;
}

export type ForwardState = "starting" | "active" | "reconnecting" | "stopped" | "failed";

export interface Forward {
  target: string;
  address: string;
  /** Local port, and the port or its name at the target. */
  ports: [number, number | string][];
  /** The paths of its Unix sockets, if it listens on sockets instead of ports. */
  sockets: string[];
  state: ForwardState;
  reason: string;
  /** A notice for the user, such as another local port than expected. */
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
  /** Whether it keeps your earlier work. */
  keeps?: boolean;
}

export interface Trouble {
  code: string;
  family: string;
  what: string;
  why: string;
  mend: string;
}

/** The outcome of a command. */
export interface Outcome {
  id: string;
  state: "pending" | "done" | "failed";
  error?: Trouble;
  /** The number of pieces of its reply. */
  pieces?: number;
}

/** A piece of a reply: the id of the command, and a part of a JSON text. */
export type Piece = [string, string];

/** The preview of a share. */
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

/** The result of a share. */
export interface Made {
  line: string;
  colleagues: string[];
  until: number;
  notes: string[];
}

/** Schema, name, kind, estimated rows, bytes, comment, owner (empty if you own it). */
export type Table = [string, string, string, number | null, number | null, string, string];

export interface Tables {
  tables: Table[];
  /** The total number. */
  all: number;
}

/** Name, type, nullable, comment. */
export type Column = [string, string, boolean, string];

export interface Columns {
  columns: Column[];
  all: number;
  /** A SELECT of them, quoted where SQL needs it. */
  select: string;
}

/** The number of open sessions, and the start of the oldest; null without a session. */
export type Open = [number, number | null];

/** The sessions that each colleague has open, by `database/colleague`. */
export type Sessions = Record<string, Open>;

/** The snapshots of which there is one. */
export interface Singles {
  who: Who;
  sandbox: Sandbox;
  account: Account;
}

/** The snapshots of which there are many: `pod/NAME`. */
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
  /** True, or the error of the request to the cluster. */
  look: true | Trouble;
}

/** A message of the kernel: all snapshots, or the changes, with null for a removed snapshot. */
export interface SnapshotMessage {
  whole?: Record<string, unknown>;
  part?: Record<string, unknown>;
}
