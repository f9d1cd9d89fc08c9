"""The messages between the kernel and the panel's view, as types.

The kernel sends snapshots (small values under keys such as ``pod/mon-api-abcdef-12345``), and the view sends commands. Each
command has a reply. ``tools/panel_types.py`` writes these types in TypeScript; ``make check`` compares the result with
``labextension/src/view/protocol.ts``.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Tone: TypeAlias = Literal["good", "waiting", "bad", "over"]
# The number of a port, and its name.
Port: TypeAlias = tuple[int, str]
ForwardState: TypeAlias = Literal["starting", "active", "reconnecting", "stopped", "failed"]
# Bytes sent, bytes received, open connections.
Traffic: TypeAlias = tuple[int, int, int]
# The number of open sessions, and the start of the oldest in seconds since 1970; null without a session.
OpenSessions: TypeAlias = tuple[int, int | None]


class ErrorMessage(TypedDict):
    """An error: what, why, hint, and the names of its class and its base class."""

    code: str
    family: str
    what: str
    why: str
    hint: str


class Who(TypedDict):
    """Your identity."""

    user: str
    namespace: str
    server: str
    # The configuration that the identity comes from.
    source: str
    # The namespaces used so far, the first one first.
    namespaces: list[str]
    role: Literal["admin", "edit", "view", "none"]
    # The expiry of the login, in seconds since 1970; null if unknown.
    ends: int | None
    # Whether the token is renewed automatically, and whether a click can renew it.
    renews: bool
    renewable: bool
    # Whether the server's certificate is not verified.
    unverified: bool
    # Whether the kernel runs inside the cluster.
    remote: bool


class Platform(TypedDict):
    """The addresses of the platform's pages (the login script, and the services; empty if unknown), and its prefix of groups."""

    account: str
    services: str
    groups: str


class Pod(TypedDict):
    """A pod of your namespace."""

    state: str
    tone: Tone
    ready: str
    restarts: int
    created: int | None
    ports: list[Port]


class Service(TypedDict):
    """A service of your namespace."""

    type: str
    created: int | None
    ports: list[Port]


class Database(TypedDict):
    """A database that you may use."""

    name: str
    kind: str
    state: str
    tone: Tone
    # Whether it is in your namespace.
    mine: bool


class Share(TypedDict):
    """A share of yours."""

    # The name of a database, or ``svc/NAME``.
    database: str
    colleague: str
    access: str
    # The schemas of a database, or the port of a service.
    scope: str
    state: str
    tone: Tone
    # The expiry, in seconds since 1970.
    until: int
    # The colleague's open sessions; null if not requested yet, and for services.
    sessions: OpenSessions | None


class Forward(TypedDict):
    """A forward of this kernel."""

    target: str
    address: str
    # Local port, and the port or its name at the target.
    ports: list[tuple[int, int | str]]
    # The paths of its Unix sockets, if it listens on sockets instead of ports.
    sockets: list[str]
    pod: str
    state: ForwardState
    reason: str
    # A notice for the user, such as another local port than expected.
    notes: str
    # The line that opens the same forward.
    magic: str


class Connection(TypedDict):
    """A connection of this kernel to a database."""

    database: str
    dbname: str
    user: str
    current: bool


class Sandbox(TypedDict):
    """The practice cluster."""

    running: bool
    server: str
    # Whether it keeps your earlier work.
    keeps: NotRequired[bool]


class Outcome(TypedDict):
    """The outcome of the last command of a button, with the id of that command."""

    id: str
    state: Literal["pending", "done", "failed"]
    error: NotRequired[ErrorMessage]


class Language(TypedDict):
    """The language that the user has chosen in the panel or by a setting; empty without a choice."""

    chosen: str


class Singles(TypedDict):
    """The snapshots of which there is one, by their keys."""

    who: Who
    sandbox: Sandbox
    platform: Platform
    language: Language


class Collections(TypedDict):
    """The snapshots of which there are many, by the first part of their keys: ``pod/NAME``."""

    pod: Pod
    service: Service
    database: Database
    share: Share
    forward: Forward
    traffic: Traffic
    connection: Connection
    # By the key of a button.
    command: Outcome
    # By the name of a source, such as ``pods``: true, or the error of the last request.
    source: Literal[True] | ErrorMessage


# Commands.


class LogIn(TypedDict):
    """Log in with a login script."""

    do: Literal["log_in"]
    script: str


class Renew(TypedDict):
    """Renew the login."""

    do: Literal["renew"]


class UseNamespace(TypedDict):
    """Switch the current namespace."""

    do: Literal["use_namespace"]
    namespace: str


class OpenForward(TypedDict):
    """Forward a port of a pod or a service."""

    do: Literal["forward"]
    kind: str
    name: str
    port: int


class ChangeForward(TypedDict):
    """Stop a forward, or restart it."""

    do: Literal["stop_forward", "restart_forward"]
    forward: int


class AskPod(TypedDict):
    """Read the end of a pod's log, or list its events."""

    do: Literal["read_log", "list_events"]
    pod: str


class UseDatabase(TypedDict):
    """Connect to a database, close the connections to it, list its tables or its schemas; revoke all of its shares."""

    do: Literal["connect", "disconnect", "list_tables", "list_schemas", "revoke_all"]
    database: str


class DescribeTable(TypedDict):
    """List the columns of a table."""

    do: Literal["describe_table"]
    database: str
    schema: str
    table: str


class ShareRequest(TypedDict):
    """The input of the share dialog."""

    database: str
    # Names, separated by blanks, commas or semicolons.
    colleagues: str
    write: bool
    # The selected or typed names; ``all`` without a choice.
    schemas: list[str] | Literal["all"]
    duration: str


class ShareDatabase(ShareRequest):
    """Preview a share, or create it."""

    do: Literal["preview_share", "share"]


class ServiceShareRequest(TypedDict):
    """The input of the dialog that shares a service."""

    # ``NAMESPACE/svc/NAME``.
    service: str
    port: int
    # Names, separated by blanks, commas or semicolons.
    colleagues: str
    via: Literal["network", "forward"]
    duration: str


class ShareService(ServiceShareRequest):
    """Preview the share of a service, or create it."""

    do: Literal["preview_service_share", "share_service"]


class Revoke(TypedDict):
    """Revoke a share."""

    do: Literal["revoke"]
    database: str
    colleague: str


class ActAs(TypedDict):
    """Act as a user of the practice cluster."""

    do: Literal["act_as"]
    person: str


class SetLanguage(TypedDict):
    """Choose the language of messages and of the panel; empty for the language of JupyterLab or the browser."""

    do: Literal["set_language"]
    language: str


class WithoutArguments(TypedDict):
    """Commands of the practice cluster; count the sessions of colleagues; ask the cluster again."""

    do: Literal["start_sandbox", "stop_sandbox", "reset_sandbox", "list_sessions", "refresh"]


Command: TypeAlias = (
    LogIn
    | Renew
    | UseNamespace
    | OpenForward
    | ChangeForward
    | AskPod
    | UseDatabase
    | DescribeTable
    | ShareDatabase
    | ShareService
    | Revoke
    | ActAs
    | SetLanguage
    | WithoutArguments
)


# Replies.

# Schema, name, kind, estimated rows, bytes, comment, owner (empty if you own it).
Table: TypeAlias = tuple[str, str, str, int | None, int | None, str, str]
# Name, type, nullable, comment.
Column: TypeAlias = tuple[str, str, bool, str]
# Type (Normal or Warning), reason, count, time in seconds since 1970 (null if unknown), message.
Event: TypeAlias = tuple[str, str, int, int | None, str]


class Log(TypedDict):
    """The end of a container's log."""

    container: str
    text: str


class Events(TypedDict):
    """The last events of a pod, the newest first."""

    events: list[Event]
    # The total number.
    all: int


class Tables(TypedDict):
    """Tables of a database."""

    tables: list[Table]
    # The total number.
    all: int


class Columns(TypedDict):
    """Columns of a table."""

    columns: list[Column]
    all: int
    # A SELECT of them, quoted where SQL needs it.
    select: str


class Note(TypedDict):
    """An advisory of a share; the dangers come first."""

    text: str
    is_danger: bool


class Preview(TypedDict):
    """The preview of a share."""

    colleagues: list[str]
    read_write: bool
    schemas: list[str]
    # All schemas of the database.
    every: list[str]
    until: int
    notes: list[Note]
    sql: str
    yaml: str


class ServicePreview(TypedDict):
    """The preview of a share of a service."""

    # The colleagues' access and its expiry, in one sentence.
    granted: str
    colleagues: list[str]
    until: int
    notes: list[Note]
    # Empty if there is nothing to create.
    yaml: str


class ShareResult(TypedDict):
    """The result of a share."""

    # The colleagues' access and its expiry, in one sentence.
    granted: str
    # The line to send to the colleagues.
    line: str
    notes: list[Note]


class Replies(TypedDict):
    """The replies, by the names of their commands; the reply of all others is null."""

    read_log: Log
    list_events: Events
    list_tables: Tables
    describe_table: Columns
    list_schemas: list[str]
    preview_share: Preview
    preview_service_share: ServicePreview
    share: ShareResult
    share_service: ShareResult
    # By ``database/colleague``.
    list_sessions: dict[str, OpenSessions]


# Messages.


class ViewMessage(TypedDict):
    """The view with this id is visible, or not; a new view asks for all snapshots."""

    do: Literal["view"]
    view: str
    visible: bool
    new: bool


class SnapshotMessage(TypedDict):
    """All snapshots, by their keys."""

    type: Literal["snapshot"]
    values: dict[str, Any]


class ChangesMessage(TypedDict):
    """The changed snapshots; null for a removed one."""

    type: Literal["changes"]
    values: dict[str, Any]


class ReplyMessage(TypedDict):
    """The reply to the command with this id, under the key of its button."""

    type: Literal["reply"]
    key: str
    id: str
    value: Any


KernelMessage: TypeAlias = SnapshotMessage | ChangesMessage | ReplyMessage

Snapshot: TypeAlias = dict[str, Any]
"""Snapshots by their keys: the values of `Singles`, and those of `Collections` under ``collection/NAME``."""
