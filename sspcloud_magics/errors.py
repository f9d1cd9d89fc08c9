"""The errors of this package, with messages for the user of the notebook.

Every error says what happened, why, and what to do next. IPython shows exactly that, without a
traceback. The cell still fails, so that an automatic run of the notebook stops there.
The documentation's page of errors shows the text after the first line of a class's docstring as its hint.

SspcloudError
├── UsageProblem                 the line of a magic, or an argument, cannot be understood
├── ClusterError
│   ├── NotLoggedIn              no configuration names a cluster and an identity
│   ├── KubeconfigInvalid        a kubeconfig cannot be read, or an entry that it refers to is missing
│   ├── TokenExpired             the server answered 401
│   ├── Forbidden                the server answered 403: a permission is missing
│   ├── ServerUnreachable        no connection to the API server
│   ├── CertificateNotTrusted    the API server's certificate does not verify
│   └── ServerError              any other error status
├── TargetError
│   ├── TargetNotFound           nothing has that name
│   ├── AmbiguousTarget          several objects have that name
│   ├── PortNotFound             the target has no such port
│   └── PodNotReady              the target exists and has no ready pod
├── ForwardError
│   ├── PortTaken                another program listens on the local port
│   ├── DialFailed               nothing accepts connections on the port in the pod
│   ├── TunnelLost               the tunnel ended, and could not be opened again in time
│   │   └── ForwardStopped       the forward was stopped while it was being opened
│   └── HelperFailed             the helper process could not be started
├── DatabaseError
│   ├── DatabaseNotFound         no database has that name
│   ├── DatabaseHibernated       it exists, and is paused
│   ├── CredentialsNotFound      no user and password were found for it
│   ├── LoginRefused             the database refused the user or the password
│   ├── DatabaseUnavailable      it exists, and accepts no connection now
│   ├── DatabaseNotTrusted       it cannot prove that it is the right server
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
from urllib.parse import urlsplit, urlunsplit

from sspcloud_magics.i18n import _
from sspcloud_magics.printable import printable, shorten

# In characters. Quoted answers of servers are cut earlier; this limit is for the rest, such as very long names.
_LONGEST_PART = 16_000


class SspcloudError(Exception):
    """The base class of all errors that this package raises on purpose.

    Parameters
    ----------
    what
        What happened, in one sentence.
    why
        The reason, if known; may quote the server.
    hint
        What to do next: a command to type, a link, a person to ask. One step per line.
    """

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(printable(shorten(what, _LONGEST_PART)))
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        steps = "\n".join(f"→ {line}" for line in self.hint.splitlines())
        parts = [shorten(part, _LONGEST_PART) for part in (self.what, self.why, steps) if part]
        return printable("\n".join(parts))

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows instead of a traceback: the message, and a link to the documentation."""
        # Imported late: the helper process imports errors and needs no metadata.
        from sspcloud_magics.error_docs import address_of  # noqa: PLC0415

        address = address_of(type(self))
        more = "\n→ " + _("more: {address}", address=address) if address else ""
        return [f"{type(self).__name__}: {self}{more}"]

    def to_wire(self) -> dict[str, str]:
        """Return the error as plain values, to cross from the helper process to the kernel; the key ``mend`` holds the hint."""
        return {"code": type(self).__name__, "what": self.what, "why": self.why, "mend": self.hint}


class UsageProblem(SspcloudError):
    """The line of a magic, or an argument, cannot be understood.

    Compare the line with what ``%NAME?`` shows. A line that holds a password or a token is also refused, because
    it is saved with the notebook: change the secret if it was a real one.
    """


class ClusterError(SspcloudError):
    """The cluster cannot be reached, or refuses the request.

    ``%k8s_doctor`` checks the route to the cluster and says which check fails.
    """


class NotLoggedIn(ClusterError):
    """No configuration names a cluster and an identity.

    A notebook service needs no configuration: this one was started without a role; start another. On a laptop, save the
    script of the account page and run ``%k8s_login config.sh``.
    """


class KubeconfigInvalid(ClusterError):
    """A kubeconfig cannot be read, or an entry that it refers to is missing.

    The message names the file and the entry. ``%k8s_login config.sh`` writes a complete new context; ``%k8s_login --context NAME``
    uses another one.
    """


class TokenExpired(ClusterError):
    """The server no longer accepts the credentials (401).

    Copy the script of the account page again and run ``%k8s_login config.sh``. Open forwards stay and reconnect automatically.
    In a notebook service the cluster renews the token: restart the service if it does not.
    """


class Forbidden(ClusterError):
    """A permission is missing (403).

    In your own namespace, start the notebook service again with the role *admin* (the message has the link). In another
    user's, check the spelling first: the answer for a namespace that does not exist is the same. Then ask its owner for a share.
    """


class ServerUnreachable(ClusterError):
    """No connection to the API server.

    Check the network, the VPN, and the proxy (``HTTPS_PROXY``, ``NO_PROXY``). ``%k8s_doctor`` says whether the name, the port
    or TLS fails.
    """


class CertificateNotTrusted(ClusterError):
    """The API server's certificate does not verify.

    Give the authority that signed it: ``%k8s_login config.sh --ca CA.pem``. Do not turn verification off: an attacker on the
    network could read your token.
    """


class ServerError(ClusterError):
    """The API server answered with an error.

    Most errors are temporary: try again in a minute. A message about a quota or an admission rule comes from the cluster's
    configuration: do what it says, or show it to the administrators of the cluster.
    """


class TargetError(SspcloudError):
    """The target of a forward cannot be used.

    ``%k8s_pods`` and ``%k8s_services`` list the targets; Tab completes names.
    """


class TargetNotFound(TargetError):
    """Nothing has that name.

    The message lists the names that exist and those with a similar spelling. Write ``NAMESPACE/NAME`` for another namespace.
    """


class AmbiguousTarget(TargetError):
    """Several objects have that name.

    Add the kind: ``pod/NAME``, ``svc/NAME`` or ``deploy/NAME``.
    """


class PortNotFound(TargetError):
    """The target has no such port.

    The message lists the known ports, by number and by name. For a pod you can also use the number of a port that it does
    not declare.
    """


class PodNotReady(TargetError):
    """The target exists and has no ready pod.

    Look at ``%k8s_pods``: a pod that starts is ready in a minute; the logs of a pod that crashes say why.
    """


class ForwardError(SspcloudError):
    """A forward could not be opened, or ended.

    ``%forwards`` lists the forwards with their last errors.
    """


class PortTaken(ForwardError):
    """Another program listens on the local port.

    The message names the program. Use another port (``%forward TARGET 1501:8000``) or any free one
    (``%forward TARGET :8000``), or stop the program.
    """


class DialFailed(ForwardError):
    """Nothing accepts connections on the port in the pod.

    The tunnel works, but nothing listens in the pod. Check the port number, and whether the program has started and listens
    on all addresses or on localhost.
    """


class TunnelLost(ForwardError):
    """The tunnel ended, and could not be opened again in time.

    The forward keeps trying. ``%k8s_doctor TARGET`` says whether the pod, the permission or the network is missing.
    """


class ForwardStopped(TunnelLost):
    """The forward was stopped, or all were closed, while it was being opened.

    If that was a mistake, open it again.
    """


class HelperFailed(ForwardError):
    """The helper process, which carries the bytes of forwards, could not be started.

    Restart the kernel. If the error returns, report it with the helper's last output, which the message quotes.
    """


class DatabaseError(SspcloudError):
    """A database cannot be used.

    ``%k8s_doctor NAME`` checks the route to the database, up to its tables.
    """


class DatabaseNotFound(DatabaseError):
    """No database has that name.

    ``%databases`` lists yours; write ``user-alice/NAME`` for a colleague's.
    """


class DatabaseHibernated(DatabaseError):
    """The database exists, and is paused.

    Its owner can start it again on the page *My services* of the datalab.
    """


class CredentialsNotFound(DatabaseError):
    """No user and password were found for the database.

    Ask the owner to share it: the message has the line to send them. Or log in as a user that you know:
    ``%connect_db NAME --user USER`` asks for the password, ``--url-env VAR`` reads it from the environment.
    """


class LoginRefused(DatabaseError):
    """The database refused the user or the password.

    This is also the answer after a share has expired: ask the owner to run ``%share_db`` again. Otherwise check user,
    password and database.
    """


class DatabaseUnavailable(DatabaseError):
    """The database exists, and accepts no connection now.

    It is starting, has no free connection, or the network blocks it. Try again in a few seconds, close unused connections,
    and leave out ``--route`` so that the route is chosen for you. ``%k8s_doctor NAME`` finds the cause.
    """


class DatabaseNotTrusted(DatabaseError):
    """The database cannot prove that it is the right server.

    Nothing was sent to it. If it was reinstalled, connect again: this reads its new certificate authority. Otherwise ask its owner.
    """


class NotConnected(DatabaseError):
    """No connection to a database is open.

    Run ``%connect_db NAME`` first; ``%connect_db`` alone lists the databases.
    """


class ConnectionLost(DatabaseError):
    """The connection to the database ended.

    Run the cell again: it opens a new connection. Temporary tables, settings of ``SET`` and an open transaction are lost.
    """


class ConnectionBusy(DatabaseError):
    """The connection is reading the rows of another query, or another thread has a transaction open in it.

    Read the rows to their end, or discard the rest with ``chunks.close()``. End the transaction, or do its work in its own
    thread. Then run the query again.
    """


class ParameterError(DatabaseError):
    """A parameter of a query is missing, or cannot be bound.

    Assign the variable that the message names. If you mean no parameter, put a space after the colon, as in ``a[1 : n]``, or
    write it in quotes.
    """


class QueryFailed(DatabaseError):
    """The database refused a statement.

    The message has the server's text and the position. After an error inside a transaction, run ``ROLLBACK`` first.
    """

    sqlstate: str | None = None
    """PostgreSQL's error code; None if the error is not the server's."""

    near: str = ""
    """The existing name that the hint suggests instead of an unknown one; empty if there is none."""


class FileNotWritten(DatabaseError):
    """Rows could not be written into a file.

    The message says why. ``--overwrite`` replaces an existing file; the formats are ``.parquet`` and ``.csv``.
    """


class SandboxFailed(SspcloudError):
    """The practice cluster did not start, is not running, or could not save its state.

    ``%sandbox start`` starts it. If it cannot start from its saved state, ``%sandbox reset`` deletes that state. To install it,
    run ``%pip install "sspcloud-magics[sandbox]"``, on Linux and macOS.
    """


def show_url(url: str) -> str:
    """Return a URL for display: without a password, a query or a fragment, which may hold secrets.

    Examples
    --------
    >>> show_url("https://ana:secret@sso.example:8443/auth?state=abc#x")
    'https://sso.example:8443/auth'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return _("an invalid address")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _tree(root: type[SspcloudError]) -> dict[str, type[SspcloudError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found = _tree(child) | found  # a class that extends another one of the same name does not replace it
    return found


def from_wire(message: dict[str, Any]) -> SspcloudError:
    """Rebuild an error from the result of `SspcloudError.to_wire`.

    Parameters
    ----------
    message
        The keys ``code``, ``what``, ``why`` and ``mend``, which holds the hint. An unknown code gives a plain `SspcloudError`.
    """
    kind = _tree(SspcloudError).get(str(message.get("code")), SspcloudError)
    return kind(
        str(message.get("what", "")),
        why=str(message.get("why", "")),
        hint=str(message.get("mend", "")),
    )
