"""What can go wrong, in words for the person in front of the notebook.

Every error says what happened, why, and what to do next. IPython shows exactly that, without a
traceback, while the cell still fails, so that a notebook that is run by a machine stops there.

SspcloudError
├── UsageProblem                 the line of a magic, or an argument, cannot be understood
├── ClusterError
│   ├── NotLoggedIn              no configuration says which cluster, or as whom
│   ├── KubeconfigInvalid        a kubeconfig that cannot be read, or lacks what it names
│   ├── TokenExpired             the server answered 401
│   ├── Forbidden                the server answered 403: a right is missing
│   ├── ServerUnreachable        no connection to the API server
│   ├── CertificateNotTrusted    the API server's certificate does not verify
│   └── ServerError              any other answer that is not a success
├── TargetError
│   ├── TargetNotFound           nothing has that name
│   ├── AmbiguousTarget          several things have that name
│   ├── PortNotFound             the target has no such port
│   └── PodNotReady              the target is there and nothing ready stands behind it
├── ForwardError
│   ├── PortTaken                something listens on the local port
│   ├── DialFailed               nothing accepts connections on the port in the pod
│   ├── TunnelLost               the tunnel ended, and could not be opened again in time
│   └── HelperFailed             the process that carries the bytes could not be started
├── DatabaseError
│   ├── DatabaseNotFound         no database has that name
│   ├── DatabaseHibernated       it is there, and paused
│   ├── CredentialsNotFound      no user and password can be read for it
│   ├── LoginRefused             the database refused the user or the password
│   ├── DatabaseUnavailable      it is there, and accepts no connection now
│   ├── DatabaseNotTrusted       it does not prove that it is the right server
│   ├── NotConnected             no connection is open
│   ├── ConnectionLost           the connection to the database ended
│   ├── ConnectionBusy           it reads the rows of another query
│   ├── ParameterError           a parameter of a query is missing, or cannot be bound
│   ├── QueryFailed              the database refused a statement
│   └── FileNotWritten           rows could not be written into a file
└── SandboxFailed                the practice cluster did not start, or is not running
"""

from __future__ import annotations

from typing import Any


class SspcloudError(Exception):
    """The root of all errors that this package raises on purpose.

    Parameters
    ----------
    what
        What happened, in one sentence.
    why
        The reason, where it is known; may quote the server.
    mend
        What to do next: a command to type, a link, a person to ask. One step a line.
    """

    def __init__(self, what: str, *, why: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.mend = mend

    def __str__(self) -> str:
        steps = "\n".join(f"→ {line}" for line in self.mend.splitlines())
        return "\n".join(part for part in (self.what, self.why, steps) if part)

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]

    def to_wire(self) -> dict[str, str]:
        """Return the error as plain values, to cross from the helper process to the kernel."""
        return {"code": type(self).__name__, "what": self.what, "why": self.why, "mend": self.mend}


class UsageProblem(SspcloudError):
    """The line of a magic, or an argument, cannot be understood."""


class ClusterError(SspcloudError):
    """The cluster cannot be reached or refuses."""


class NotLoggedIn(ClusterError):
    """No configuration says which cluster, or as whom."""


class KubeconfigInvalid(ClusterError):
    """A kubeconfig cannot be read, or lacks what it names."""


class TokenExpired(ClusterError):
    """The server does not accept the credentials any more (401)."""


class Forbidden(ClusterError):
    """A right is missing (403)."""


class ServerUnreachable(ClusterError):
    """No connection to the API server."""


class CertificateNotTrusted(ClusterError):
    """The API server's certificate does not verify."""


class ServerError(ClusterError):
    """The API server answered with an error of its own."""


class TargetError(SspcloudError):
    """The target of a forward cannot be used."""


class TargetNotFound(TargetError):
    """Nothing has that name."""


class AmbiguousTarget(TargetError):
    """Several things have that name."""


class PortNotFound(TargetError):
    """The target has no such port."""


class PodNotReady(TargetError):
    """The target exists and no ready pod stands behind it."""


class ForwardError(SspcloudError):
    """A forward could not be made, or ended."""


class PortTaken(ForwardError):
    """Something already listens on the local port."""


class DialFailed(ForwardError):
    """Nothing accepts connections on the port in the pod."""


class TunnelLost(ForwardError):
    """The tunnel ended, and could not be opened again in time."""


class HelperFailed(ForwardError):
    """The process that carries the bytes could not be started."""


class DatabaseError(SspcloudError):
    """A database cannot be used."""


class DatabaseNotFound(DatabaseError):
    """No database has that name."""


class DatabaseHibernated(DatabaseError):
    """The database is there, and paused."""


class CredentialsNotFound(DatabaseError):
    """No user and password can be read for the database."""


class LoginRefused(DatabaseError):
    """The database refused the user or the password."""


class DatabaseUnavailable(DatabaseError):
    """The database is there, and accepts no connection now."""


class DatabaseNotTrusted(DatabaseError):
    """The database does not prove that it is the right server."""


class NotConnected(DatabaseError):
    """No connection to a database is open."""


class ConnectionLost(DatabaseError):
    """The connection to the database ended."""


class ConnectionBusy(DatabaseError):
    """The connection reads the rows of another query."""


class ParameterError(DatabaseError):
    """A parameter of a query is missing, or cannot be bound."""


class QueryFailed(DatabaseError):
    """The database refused a statement."""


class FileNotWritten(DatabaseError):
    """Rows could not be written into a file."""


class SandboxFailed(SspcloudError):
    """The practice cluster did not start, or is not running."""


def _tree(root: type[SspcloudError]) -> dict[str, type[SspcloudError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


def from_wire(message: dict[str, Any]) -> SspcloudError:
    """Return the error that `SspcloudError.to_wire` described.

    Parameters
    ----------
    message
        The keys ``code``, ``what``, ``why`` and ``mend``. An unknown code gives a plain `SspcloudError`.
    """
    kind = _tree(SspcloudError).get(str(message.get("code")), SspcloudError)
    return kind(
        str(message.get("what", "")),
        why=str(message.get("why", "")),
        mend=str(message.get("mend", "")),
    )
