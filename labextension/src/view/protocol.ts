/** The messages between the kernel and the view. Written by tools/panel_types.py: change protocol.py instead. */

export type Tone = "good" | "waiting" | "bad" | "over";

/** The number of a port, and its name. */
export type Port = [number, string];

export type ForwardState = "starting" | "active" | "reconnecting" | "stopped" | "failed";

/** Bytes sent, bytes received, open connections. */
export type Traffic = [number, number, number];

/** The number of open sessions, and the start of the oldest in seconds since 1970; null without a session. */
export type OpenSessions = [number, number | null];

/** An error: what, why, hint, and the names of its class and its base class. */
export interface ErrorMessage {
  code: string;
  family: string;
  what: string;
  why: string;
  hint: string;
}

/** Your identity. */
export interface Who {
  user: string;
  namespace: string;
  server: string;
  /** The configuration that the identity comes from. */
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

/** The addresses of the platform's pages (the login script, and the services; empty if unknown), and its prefix of groups. */
export interface Platform {
  account: string;
  services: string;
  groups: string;
}

/** A pod of your namespace. */
export interface Pod {
  state: string;
  tone: Tone;
  ready: string;
  restarts: number;
  created: number | null;
  ports: Port[];
}

/** A service of your namespace. */
export interface Service {
  type: string;
  created: number | null;
  ports: Port[];
}

/** A database that you may use. */
export interface Database {
  name: string;
  kind: string;
  state: string;
  tone: Tone;
  /** Whether it is in your namespace. */
  mine: boolean;
}

/** A share of yours. */
export interface Share {
  /** The name of a database, or ``svc/NAME``. */
  database: string;
  colleague: string;
  access: string;
  /** The schemas of a database, or the port of a service. */
  scope: string;
  state: string;
  tone: Tone;
  /** The expiry, in seconds since 1970. */
  until: number;
  /** The colleague's open sessions; null if not requested yet, and for services. */
  sessions: OpenSessions | null;
}

/** A forward of this kernel. */
export interface Forward {
  target: string;
  address: string;
  /** Local port, and the port or its name at the target. */
  ports: ([number, number | string])[];
  /** The paths of its Unix sockets, if it listens on sockets instead of ports. */
  sockets: string[];
  pod: string;
  state: ForwardState;
  reason: string;
  /** A notice for the user, such as another local port than expected. */
  notes: string;
  /** The line that opens the same forward. */
  magic: string;
}

/** A connection of this kernel to a database. */
export interface Connection {
  database: string;
  dbname: string;
  user: string;
  current: boolean;
}

/** The practice cluster. */
export interface Sandbox {
  running: boolean;
  server: string;
  /** Whether it keeps your earlier work. */
  keeps?: boolean;
}

/** The outcome of the last command of a button, with the id of that command. */
export interface Outcome {
  id: string;
  state: "pending" | "done" | "failed";
  error?: ErrorMessage;
}

/** The language that the user has chosen in the panel or by a setting; empty without a choice. */
export interface Language {
  chosen: string;
}

/** The snapshots of which there is one, by their keys. */
export interface Singles {
  who: Who;
  sandbox: Sandbox;
  platform: Platform;
  language: Language;
}

/** The snapshots of which there are many, by the first part of their keys: ``pod/NAME``. */
export interface Collections {
  pod: Pod;
  service: Service;
  database: Database;
  share: Share;
  forward: Forward;
  traffic: Traffic;
  connection: Connection;
  /** By the key of a button. */
  command: Outcome;
  /** By the name of a source, such as ``pods``: true, or the error of the last request. */
  source: true | ErrorMessage;
}

/** Log in with a login script. */
export interface LogIn {
  do: "log_in";
  script: string;
}

/** Renew the login. */
export interface Renew {
  do: "renew";
}

/** Switch the current namespace. */
export interface UseNamespace {
  do: "use_namespace";
  namespace: string;
}

/** Forward a port of a pod or a service. */
export interface OpenForward {
  do: "forward";
  kind: string;
  name: string;
  port: number;
}

/** Stop a forward, or restart it. */
export interface ChangeForward {
  do: "stop_forward" | "restart_forward";
  forward: number;
}

/** Read the end of a pod's log, or list its events. */
export interface AskPod {
  do: "read_log" | "list_events";
  pod: string;
}

/** Connect to a database, close the connections to it, list its tables or its schemas; revoke all of its shares. */
export interface UseDatabase {
  do: "connect" | "disconnect" | "list_tables" | "list_schemas" | "revoke_all";
  database: string;
}

/** List the columns of a table. */
export interface DescribeTable {
  do: "describe_table";
  database: string;
  schema: string;
  table: string;
}

/** The input of the share dialog. */
export interface ShareRequest {
  database: string;
  /** Names, separated by blanks, commas or semicolons. */
  colleagues: string;
  write: boolean;
  /** The selected or typed names; ``all`` without a choice. */
  schemas: string[] | "all";
  duration: string;
}

/** Preview a share, or create it. */
export interface ShareDatabase extends ShareRequest {
  do: "preview_share" | "share";
}

/** The input of the dialog that shares a service. */
export interface ServiceShareRequest {
  /** ``NAMESPACE/svc/NAME``. */
  service: string;
  port: number;
  /** Names, separated by blanks, commas or semicolons. */
  colleagues: string;
  via: "network" | "forward";
  duration: string;
}

/** Preview the share of a service, or create it. */
export interface ShareService extends ServiceShareRequest {
  do: "preview_service_share" | "share_service";
}

/** Revoke a share. */
export interface Revoke {
  do: "revoke";
  database: string;
  colleague: string;
}

/** Act as a user of the practice cluster. */
export interface ActAs {
  do: "act_as";
  person: string;
}

/** Choose the language of messages and of the panel; empty for the language of JupyterLab or the browser. */
export interface SetLanguage {
  do: "set_language";
  language: string;
}

/** Commands of the practice cluster; count the sessions of colleagues; ask the cluster again. */
export interface WithoutArguments {
  do: "start_sandbox" | "stop_sandbox" | "reset_sandbox" | "list_sessions" | "refresh";
}

export type Command = LogIn | Renew | UseNamespace | OpenForward | ChangeForward | AskPod | UseDatabase | DescribeTable | ShareDatabase | ShareService | Revoke | ActAs | SetLanguage | WithoutArguments;

/** Schema, name, kind, estimated rows, bytes, comment, owner (empty if you own it). */
export type Table = [string, string, string, number | null, number | null, string, string];

/** Name, type, nullable, comment. */
export type Column = [string, string, boolean, string];

/** Type (Normal or Warning), reason, count, time in seconds since 1970 (null if unknown), message. */
export type Event = [string, string, number, number | null, string];

/** The end of a container's log. */
export interface Log {
  container: string;
  text: string;
}

/** The last events of a pod, the newest first. */
export interface Events {
  events: Event[];
  /** The total number. */
  all: number;
}

/** Tables of a database. */
export interface Tables {
  tables: Table[];
  /** The total number. */
  all: number;
}

/** Columns of a table. */
export interface Columns {
  columns: Column[];
  all: number;
  /** A SELECT of them, quoted where SQL needs it. */
  select: string;
}

/** An advisory of a share; the dangers come first. */
export interface Note {
  text: string;
  is_danger: boolean;
}

/** The preview of a share. */
export interface Preview {
  colleagues: string[];
  read_write: boolean;
  schemas: string[];
  /** All schemas of the database. */
  every: string[];
  until: number;
  notes: Note[];
  sql: string;
  yaml: string;
}

/** The preview of a share of a service. */
export interface ServicePreview {
  /** The colleagues' access and its expiry, in one sentence. */
  granted: string;
  colleagues: string[];
  until: number;
  notes: Note[];
  /** Empty if there is nothing to create. */
  yaml: string;
}

/** The result of a share. */
export interface ShareResult {
  /** The colleagues' access and its expiry, in one sentence. */
  granted: string;
  /** The line to send to the colleagues. */
  line: string;
  notes: Note[];
}

/** The replies, by the names of their commands; the reply of all others is null. */
export interface Replies {
  read_log: Log;
  list_events: Events;
  list_tables: Tables;
  describe_table: Columns;
  list_schemas: string[];
  preview_share: Preview;
  preview_service_share: ServicePreview;
  share: ShareResult;
  share_service: ShareResult;
  /** By ``database/colleague``. */
  list_sessions: Record<string, OpenSessions>;
}

/** The view with this id is visible, or not; a new view asks for all snapshots. */
export interface ViewMessage {
  do: "view";
  view: string;
  visible: boolean;
  new: boolean;
}

/** All snapshots, by their keys. */
export interface SnapshotMessage {
  type: "snapshot";
  values: Record<string, unknown>;
}

/** The changed snapshots; null for a removed one. */
export interface ChangesMessage {
  type: "changes";
  values: Record<string, unknown>;
}

/** The reply to the command with this id, under the key of its button. */
export interface ReplyMessage {
  type: "reply";
  key: string;
  id: string;
  value: unknown;
}

export type KernelMessage = SnapshotMessage | ChangesMessage | ReplyMessage;
