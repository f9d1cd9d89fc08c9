"""The cluster and identity to use, found in the available configuration.

The first of these sources that exists is used:

1. the arguments of the caller: a server with a token file, a kubeconfig, a context;
2. the service-account token that Kubernetes mounts into a notebook's pod;
3. the kubeconfigs of ``KUBECONFIG``, else ``~/.kube/config``.

The mounted token has priority over kubeconfigs because older images of notebook services have an
``in-cluster`` kubeconfig with a copy of the token that is never renewed. `Cluster.considered` lists the
sources that were not used, with the reasons.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sspcloud_magics import fork_hooks, pem
from sspcloud_magics.access import Access
from sspcloud_magics.cluster.auth import jwt
from sspcloud_magics.cluster.auth.expiry import Expiry
from sspcloud_magics.cluster.auth.kubeconfig_context import (
    ContextAccess,
    log_in_again,
    not_sent,
    server_url,
    without_tls,
)
from sspcloud_magics.cluster.auth.service_account import MOUNT, MountedToken, describe_mount, why_not_mounted
from sspcloud_magics.cluster.auth.token_file import TokenFile
from sspcloud_magics.cluster.config import file_permissions
from sspcloud_magics.cluster.config import kubeconfig as files
from sspcloud_magics.cluster.config.file_permissions import FileWarning
from sspcloud_magics.errors import KubeconfigInvalid, NotLoggedIn, TokenExpired, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.secret import without_frames
from sspcloud_magics.user_files import short_path, user_path

if TYPE_CHECKING:
    from sspcloud_magics.cluster.api.client import ApiClient


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConsideredSource:
    """A source of configuration that was checked."""

    # Returns its description; called when it is displayed, so that a change of the language applies.
    describe: Callable[[], str]
    explain: Callable[[], str]  # returns ``used``, or the reason why not
    is_copy: bool = False  # whether it is a file with a copy of the mounted token, which is ignored

    @property
    def source(self) -> str:
        """Its description."""
        return self.describe()

    @property
    def outcome(self) -> str:
        """``used``, or the reason why not."""
        return self.explain()


class AccessSource(Protocol):
    """A source of accesses, which can renew them."""

    @property
    def description(self) -> str:
        """A description for the user."""

    @property
    def namespace(self) -> str:
        """The default namespace of the source."""

    @property
    def server(self) -> str:
        """The base URL of the API server; readable without credentials."""

    def current(self) -> Access:
        """Return the current access."""

    def renew(self, refused: Access) -> Access:
        """Return an access that differs from `refused`, or raise `TokenExpired`."""


class ServerAndTokenFile:
    """Access to a named server with the token of a named file.

    Parameters
    ----------
    server
        The base URL of the API server.
    token_file
        The file with the bearer token.
    ca_file
        The certificates to trust, in PEM; those of the system if None.
    insecure_skip_tls_verify
        Do not verify the server's certificate.
    credentials_without_tls
        Send the token to an ``http://`` server too.
    """

    namespace = "default"

    def __init__(
        self,
        server: str,
        token_file: Path,
        ca_file: Path | None,
        *,
        insecure_skip_tls_verify: bool,
        credentials_without_tls: bool,
    ) -> None:
        self.server = server_url(server)
        self._without_tls = credentials_without_tls
        if not (credentials_without_tls or self.server.startswith("https://")):
            raise KubeconfigInvalid(
                _("No token is sent to {server}.", server=self.server), why=not_sent(), hint=without_tls()
            )
        self._token = TokenFile(token_file)
        self._insecure = insecure_skip_tls_verify
        try:
            self._ca = pem.extract(ca_file.read_bytes(), pem.CERTIFICATE) if ca_file else None
        except OSError as error:
            what = _("The CA file {file} cannot be read.", file=ca_file)
            raise KubeconfigInvalid(what, why=system_reason(error)) from None

    @property
    def description(self) -> str:
        """A description for the user."""
        file = short_path(self._token.path)
        return _("server {server} with the token of {file}", server=self.server, file=file)

    def files(self) -> list[tuple[str, Path]]:
        """Return the files that hold credentials, each with its kind."""
        return [("token", self._token.path)]

    def current(self) -> Access:
        """Return the access with the current token of the file."""
        return Access(
            server=self.server,
            ca=self._ca,
            insecure_skip_tls_verify=self._insecure,
            token=self._token.read(),
            credentials_without_tls=self._without_tls,
        )

    def renew(self, refused: Access) -> Access:
        """Return the access with a token other than the refused one.

        Raises
        ------
        TokenExpired
            If the file still holds the refused token.
        """
        fresh = self.current()
        if fresh.token == refused.token:
            raise TokenExpired(
                _(
                    "{server} does not accept the token of {path}.",
                    server=self.server,
                    path=self._token.path,
                ),
                hint=_("write a fresh token into the file, then run the cell again"),
            )
        return fresh


class _Login:
    """The state that copies of a `Cluster` with other namespaces share."""

    def __init__(self, source: AccessSource) -> None:
        self.source = source
        # Guards `last` and `api`, and the renewal of credentials.
        self.lock = threading.RLock()
        # The access that was returned last.
        self.last: Access | None = None
        # The connections, opened on first use and dropped by `Cluster.close`.
        self.api: ApiClient | None = None
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self.lock = threading.RLock()


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server, with the identity and the default namespace that you use there.

    Returned by `find_cluster`. Thread-safe.

    Parameters
    ----------
    namespace
        The default namespace.
    considered
        The sources that were checked, in order.
    file_warnings
        Warnings to show once, about configuration files that others can write.
    """

    namespace: str
    considered: tuple[ConsideredSource, ...]
    _login: _Login = field(repr=False, compare=False)
    file_warnings: tuple[FileWarning, ...] = ()

    @property
    def source(self) -> str:
        """The description of its source for the user, such as ``the mounted service-account token``."""
        return self._login.source.description

    @property
    def configured_server(self) -> str:
        """The base URL of the API server, without reading credentials."""
        return self._login.source.server

    def access(self) -> Access:
        """Return the current access, after reading changed files and renewing expired plugin credentials.

        Raises
        ------
        NotLoggedIn, KubeconfigInvalid
            If there are no usable credentials.
        """
        with self._login.lock:
            self._login.last = self._login.source.current()
            return self._login.last

    def renew_access(self, refused: Access | None = None) -> Access:
        """Return a new access after the server answered 401.

        Parameters
        ----------
        refused
            The access that was refused; if None, the one that was returned last.

        Raises
        ------
        TokenExpired
            If there are no other credentials.
        """
        with self._login.lock:
            if refused is None:
                refused = self._login.last or self._login.source.current()
            self._login.last = self._login.source.renew(refused)
            return self._login.last

    def expiry(self) -> Expiry:
        """Return the expiry of the credentials, if they state one."""
        # Without the lock: this is called after each cell, while another thread may be renewing the credentials.
        source = self._login.source
        if isinstance(source, ContextAccess):
            return source.expiry()
        return Expiry(jwt.expiry(source.current().token), renews=isinstance(source, MountedToken))

    @property
    def verifies(self) -> bool:
        """Whether the server's certificate is verified; False over plain HTTP."""
        with self._login.lock:
            last = self._login.last or self.access()
            return last.is_encrypted and not last.insecure_skip_tls_verify

    def with_namespace(self, namespace: str) -> Cluster:
        """Return the same identity with another default namespace."""
        return replace(self, namespace=namespace)

    @property
    def in_service(self) -> bool:
        """Whether the identity is the service account of a notebook service inside the cluster."""
        return isinstance(self._login.source, MountedToken)

    @property
    def server(self) -> str:
        """The base URL of the API server."""
        with self._login.lock:
            return (self._login.last or self.access()).server

    @property
    def api(self) -> ApiClient:
        """The client of the API server, created on first use."""
        from sspcloud_magics.cluster.api.client import ApiClient  # noqa: PLC0415 - the HTTP library costs 100 ms

        with self._login.lock:
            if self._login.api is None:
                self._login.api = ApiClient(self.access, self.renew_access, in_service=self.in_service)
            return self._login.api

    def close(self) -> None:
        """Close the connections to the API server; the next request opens new ones."""
        with self._login.lock:
            if self._login.api is not None:
                self._login.api.close()
                self._login.api = None
            if isinstance(self._login.source, ContextAccess):
                self._login.source.close()


def make_cluster(source: AccessSource) -> Cluster:
    """Return the cluster of a source."""
    return Cluster(
        source.namespace,
        (ConsideredSource(lambda: source.description, lambda: _("used")),),
        _Login(source),
    )


@without_frames
def find_cluster(
    *,
    kubeconfig: str | Path | None = None,
    context: str | None = None,
    server: str | None = None,
    token_file: str | Path | None = None,
    namespace: str | None = None,
    ca_file: str | Path | None = None,
    insecure_skip_tls_verify: bool = False,
    credentials_without_tls: bool = False,
    mount: Path = MOUNT,
    environ: Mapping[str, str] | None = None,
) -> Cluster:
    """Find the configuration of a cluster and an identity, without using the network.

    Parameters
    ----------
    kubeconfig
        A kubeconfig file; other sources are then ignored.
    context
        A context of the kubeconfig.
    server, token_file, ca_file, insecure_skip_tls_verify
        The API server's URL, a file with a bearer token, the certificates to trust (those of the system if
        None), and whether to skip verification.
    credentials_without_tls
        Whether to send credentials to an ``http://`` server too.
    namespace
        The default namespace, instead of the source's.
    mount
        The directory where Kubernetes mounts the service account.
    environ
        The environment variables; those of the process if None.

    Returns
    -------
    Cluster
        The cluster.

    Raises
    ------
    NotLoggedIn
        If there is no configuration, or it holds no credentials.
    KubeconfigInvalid
        If a kubeconfig cannot be read or is malformed, or an entry that it refers to is missing.
    UsageProblem
        If the arguments contradict each other.

    Examples
    --------
    >>> find_cluster(server="https://localhost:6443", token_file="/tmp/token").source
    'server https://localhost:6443 with the token of …/token'
    """
    environ = os.environ if environ is None else environ
    considered: list[ConsideredSource] = []
    source: MountedToken | ServerAndTokenFile | ContextAccess | None
    if server is not None or token_file is not None:
        if kubeconfig is not None or context is not None:
            raise UsageProblem(_("You named both a server and a kubeconfig."), hint=_("name one of them"))
        source = _server_source(
            server,
            token_file,
            ca_file,
            insecure=insecure_skip_tls_verify,
            without_tls=credentials_without_tls,
        )
    elif ca_file is not None or insecure_skip_tls_verify:
        raise UsageProblem(
            _("A CA file, or the option not to verify, needs a server."),
            hint=_("name the server too, or set the option in the kubeconfig"),
        )
    else:
        source = None
        if kubeconfig is None and context is None:
            source = _find_mounted_source(mount, environ, considered)
        if source is None:
            source = _kubeconfig_source(
                kubeconfig, context, mount, environ, considered, without_tls=credentials_without_tls
            )
    used = source
    considered.insert(0, ConsideredSource(lambda: used.description, lambda: _("used")))
    if isinstance(source, MountedToken):
        considered += [
            ConsideredSource(
                partial(str, file),
                lambda: _("ignored: the mounted token is renewed, a copy in a file is not"),
                is_copy=True,
            )
            for file in files.default_files(environ)
            if _exists(file)
        ]
    _log.info("the cluster is that of a %s", type(source).__name__)
    warnings = () if isinstance(source, MountedToken) else file_permissions.find_warnings(source.files())
    return Cluster(namespace or source.namespace, tuple(considered), _Login(source), warnings)


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:
        return True  # it exists, in a directory that this user cannot search


def _server_source(
    server: str | None,
    token_file: str | Path | None,
    ca_file: str | Path | None,
    *,
    insecure: bool,
    without_tls: bool,
) -> ServerAndTokenFile:
    if server is None or token_file is None:
        raise UsageProblem(
            _("A server needs a token file, and a token file a server: the server is missing.")
            if server is None
            else _("A server needs a token file, and a token file a server: the token file is missing."),
            hint=_(
                "%k8s_login --server https://… --token-file FILE\n"
                'in Python: ssp.login(server="https://…", token_file="FILE")'
            ),
        )
    if insecure and ca_file is not None:
        raise UsageProblem(
            _("You named a CA file, and asked not to verify certificates."), hint=_("leave out one of them")
        )
    return ServerAndTokenFile(
        server,
        user_path(token_file),
        user_path(ca_file) if ca_file else None,
        insecure_skip_tls_verify=insecure,
        credentials_without_tls=without_tls,
    )


def _find_mounted_source(
    mount: Path, environ: Mapping[str, str], considered: list[ConsideredSource]
) -> MountedToken | None:
    if why_not_mounted(mount, environ):
        considered.append(
            ConsideredSource(
                describe_mount, lambda: _("not there: {reason}", reason=why_not_mounted(mount, environ))
            )
        )
        return None
    return MountedToken(mount, environ)


def _explain_skipped(why: str) -> str:
    return _("skipped, but kubectl refuses the file: {reason}", reason=why)


def _kubeconfig_source(
    kubeconfig: str | Path | None,
    context: str | None,
    mount: Path,
    environ: Mapping[str, str],
    considered: list[ConsideredSource],
    *,
    without_tls: bool,
) -> ContextAccess:
    paths = [user_path(kubeconfig)] if kubeconfig is not None else files.default_files(environ)
    found = files.load(paths)
    listed = ", ".join(map(str, paths))
    if found is None and kubeconfig is not None:
        raise KubeconfigInvalid(_("There is no kubeconfig {files}.", files=listed), hint=_("check the path"))
    if found is None:
        why = _("There is no kubeconfig ({files}).", files=listed)
        missing = why_not_mounted(mount, environ) if considered else ""
        if missing:
            why = _(
                "There is no kubeconfig ({files}); the mounted service-account token is not there: {reason}.",
                files=listed,
                reason=missing,
            )
        raise NotLoggedIn(
            _("No configuration names a cluster."),
            why=why,
            hint=_(
                "{log_in_again}\nor name a file: %k8s_login --kubeconfig FILE"
                "\nor practise without an account: %sandbox start",
                log_in_again=log_in_again(),
            ),
        )
    considered += [
        ConsideredSource(partial(str, path), lambda: _("not there")) for path in paths if not _exists(path)
    ]
    considered += [
        ConsideredSource(
            partial(str, what),
            partial(_explain_skipped, why),
        )
        for what, why in found.list_malformed()
    ]
    return ContextAccess(found, context, lambda: files.load(paths), credentials_without_tls=without_tls)
