"""What can go wrong, in words for the person in front of the notebook.

Every error says what happened, why, and what to do next. IPython shows exactly that, without a
traceback, while the cell still fails, so that a notebook that is run by a machine stops there.
What stands behind the first line of a class's docstring is the mend that its entry in the documentation has.

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
│   │   └── ForwardStopped       somebody stopped the forward while it was being opened
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
from urllib.parse import urlsplit, urlunsplit

from sspcloud_magics.printable import printable, shorten

# In characters. What quotes a server is cut where it is quoted; this is for all else, such as names of any length.
_LONGEST_PART = 16_000


class SspcloudError(Exception):
    """The root of all errors that this package raises on purpose.

    Parameters
    ----------
    what
        What happened, in one sentence.
    why
        The reason, where it is known; may quote the server.
    hint
        What to do next: a command to type, a link, a person to ask. One step a line.
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
        """Return what IPython shows instead of a traceback: the message, and where the error is explained."""
        # When it is needed: who imports errors, as the helper does, reads no metadata.
        from sspcloud_magics.error_docs import address_of  # noqa: PLC0415

        address = address_of(type(self))
        return [f"{type(self).__name__}: {self}" + (f"\n→ more: {address}" if address else "")]

    def to_wire(self) -> dict[str, str]:
        """Return the error as plain values, to cross from the helper process to the kernel."""
        return {"code": type(self).__name__, "what": self.what, "why": self.why, "mend": self.hint}


class UsageProblem(SspcloudError):
    """The line of a magic, or an argument, cannot be understood.

    Compare the line with what ``%NAME?`` shows. A line is also refused where it holds a password or a token, because
    it is saved with the notebook: change the secret if it was a real one.
    """


class ClusterError(SspcloudError):
    """The cluster cannot be reached or refuses.

    ``%k8s_doctor`` walks the way to the cluster and says which step fails.
    """


class NotLoggedIn(ClusterError):
    """No configuration says which cluster, or as whom.

    In a notebook service nothing is needed: the service was started without a role, start another. On a laptop save the
    script of the account page and give it to ``%k8s_login config.sh``.
    """


class KubeconfigInvalid(ClusterError):
    """A kubeconfig cannot be read, or lacks what it names.

    The message names the file and the entry. ``%k8s_login config.sh`` writes a whole new context; ``%k8s_login --context NAME``
    takes another one.
    """


class TokenExpired(ClusterError):
    """The server does not accept the credentials any more (401).

    Copy the script of the account page again and run ``%k8s_login config.sh``. What is open stays open and heals by itself. In a
    notebook service the token is renewed by the cluster: restart the service if it is not.
    """


class Forbidden(ClusterError):
    """A right is missing (403).

    In your own namespace: start the notebook service again with the role *admin* (the message has the link). In somebody
    else's: check the spelling first, since a namespace that does not exist is answered the same way; then ask its owner for a
    share.
    """


class ServerUnreachable(ClusterError):
    """No connection to the API server.

    Check the network, the VPN, and the proxy (``HTTPS_PROXY``, ``NO_PROXY``); ``%k8s_doctor`` tells name, port and TLS apart.
    """


class CertificateNotTrusted(ClusterError):
    """The API server's certificate does not verify.

    Give the authority that signed it: ``%k8s_login config.sh --ca CA.pem``. Do not switch the verification off: whoever stands
    between could read your token.
    """


class ServerError(ClusterError):
    """The API server answered with an error of its own.

    Usually it passes: try again in a minute. A message about a quota or an admission rule is the cluster's own: do what it says, or
    show it to those who run the cluster.
    """


class TargetError(SspcloudError):
    """The target of a forward cannot be used.

    ``%k8s_pods`` and ``%k8s_services`` list what there is; Tab completes names.
    """


class TargetNotFound(TargetError):
    """Nothing has that name.

    The message lists what there is and what is spelt alike. Something of somebody else is written ``NAMESPACE/NAME``.
    """


class AmbiguousTarget(TargetError):
    """Several things have that name.

    Say the kind: ``pod/NAME``, ``svc/NAME`` or ``deploy/NAME``.
    """


class PortNotFound(TargetError):
    """The target has no such port.

    The message lists the ports that are known, by number and by name. A number that the pod does not announce may be used for a
    pod all the same.
    """


class PodNotReady(TargetError):
    """The target exists and no ready pod stands behind it.

    Look at ``%k8s_pods``: a pod that starts is ready in a minute, one that crashes says why in its logs.
    """


class ForwardError(SspcloudError):
    """A forward could not be made, or ended.

    ``%forwards`` shows what is open and its last error.
    """


class PortTaken(ForwardError):
    """Something already listens on the local port.

    The message says which program holds the port. Take another (``%forward TARGET 1501:8000``) or any (``%forward TARGET :8000``), or
    stop what holds it.
    """


class DialFailed(ForwardError):
    """Nothing accepts connections on the port in the pod.

    The tunnel works and nothing listens in the pod: check the number of the port, and whether the program has started and listens
    on all addresses or on localhost.
    """


class TunnelLost(ForwardError):
    """The tunnel ended, and could not be opened again in time.

    The forward goes on trying. ``%k8s_doctor TARGET`` says whether the pod, the right or the network is missing.
    """


class ForwardStopped(TunnelLost):
    """The forward was stopped, or all were closed, while it was being opened.

    Open it again, if that was not meant.
    """


class HelperFailed(ForwardError):
    """The process that carries the bytes could not be started.

    Restart the kernel. If it comes back, the message has the helper's last words: report them.
    """


class DatabaseError(SspcloudError):
    """A database cannot be used.

    ``%k8s_doctor NAME`` walks the way to the database, up to its tables.
    """


class DatabaseNotFound(DatabaseError):
    """No database has that name.

    ``%databases`` lists yours; a colleague's is written ``user-alice/NAME``.
    """


class DatabaseHibernated(DatabaseError):
    """The database is there, and paused.

    Its owner starts it again on the page *My services* of the datalab.
    """


class CredentialsNotFound(DatabaseError):
    """No user and password can be read for the database.

    Ask the owner to share it: the message has the line that they run. Or give a user of your own: ``%connect_db NAME --user USER``
    asks for the password, ``--url-env VAR`` reads it from the environment.
    """


class LoginRefused(DatabaseError):
    """The database refused the user or the password.

    A share that has ended is refused like this: ask the owner to run ``%share_db`` again. Otherwise check user, password and database.
    """


class DatabaseUnavailable(DatabaseError):
    """The database is there, and accepts no connection now.

    It starts, is full, or the network is closed on the way: try again in some seconds, close connections that nobody uses, and
    leave ``--route`` out so that the way is chosen. ``%k8s_doctor NAME`` says which it is.
    """


class DatabaseNotTrusted(DatabaseError):
    """The database does not prove that it is the right server.

    Nothing was sent to it. If it was installed again, connect again: its new authority is read. Otherwise ask its owner.
    """


class NotConnected(DatabaseError):
    """No connection to a database is open.

    ``%connect_db NAME`` first; ``%connect_db`` alone lists what there is.
    """


class ConnectionLost(DatabaseError):
    """The connection to the database ended.

    Run the cell again: the connection is made anew. Temporary tables, ``SET`` and an open transaction are gone.
    """


class ConnectionBusy(DatabaseError):
    """The connection reads the rows of another query, or has a transaction of another thread open.

    Read the rows to their end, or give the rest up: ``chunks.close()``; end the transaction, or do its work in its own thread. Then ask again.
    """


class ParameterError(DatabaseError):
    """A parameter of a query is missing, or cannot be bound.

    Assign the variable that the message names. Where no parameter is meant, write the colon apart, as in ``a[1 : n]``, or in quotes.
    """


class QueryFailed(DatabaseError):
    """The database refused a statement.

    The message has the server's words and the place. After an error inside a transaction: ``ROLLBACK`` first.
    """

    sqlstate: str | None = None
    """PostgreSQL's code; None where the server did not refuse it."""


class FileNotWritten(DatabaseError):
    """Rows could not be written into a file.

    The message says why. ``--overwrite`` replaces a file that is there; ``.parquet`` and ``.csv`` are understood.
    """


class SandboxFailed(SspcloudError):
    """The practice cluster did not start, is not running, or could not keep what was done in it.

    ``%sandbox start`` starts it; ``%sandbox reset`` forgets what was done in it, where it cannot start from that. Where it is not installed: ``%pip install "sspcloud-magics[sandbox]"``, on Linux and macOS.
    """


def show_url(url: str) -> str:
    """Return a URL as it may be shown: without a password, a query or a fragment, which may hold secrets.

    Examples
    --------
    >>> show_url("https://ana:secret@sso.example:8443/auth?state=abc#x")
    'https://sso.example:8443/auth'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "nowhere"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


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
        The keys ``code``, ``what``, ``why`` and ``hint``. An unknown code gives a plain `SspcloudError`.
    """
    kind = _tree(SspcloudError).get(str(message.get("code")), SspcloudError)
    return kind(
        str(message.get("what", "")),
        why=str(message.get("why", "")),
        hint=str(message.get("mend", "")),
    )
