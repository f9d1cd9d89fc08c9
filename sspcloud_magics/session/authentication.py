"""Log in to a cluster, and show the current identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.cluster.config import file_permissions
from sspcloud_magics.cluster.config.kubeconfig import default_files
from sspcloud_magics.cluster.login import log_in
from sspcloud_magics.cluster.login_script import LoginScript, read_script
from sspcloud_magics.cluster.requests.permissions import Identity, who_am_i
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.session import session
from sspcloud_magics.user_files import user_path


def login(
    script: str | Path | LoginScript | None = None,
    *,
    kubeconfig: str | Path | None = None,
    context: str | None = None,
    server: str | None = None,
    token_file: str | Path | None = None,
    ca_file: str | Path | None = None,
    insecure_skip_tls_verify: bool = False,
    credentials_without_tls: bool = False,
    namespace: str | None = None,
) -> Identity:
    """Log in with the account page's script, or by choosing a cluster; and check that the server accepts it.

    You need not call this if there is a mounted service-account token (a notebook service of SSPCloud) or a
    kubeconfig. Open forwards and connections stay as they are; those whose credentials had expired recover
    automatically with the script's new ones.

    Parameters
    ----------
    script
        The file with the login script of the account page, or the result of `login_script.parse`.
        It is read and never run, tried on the server, and then merged into the kubeconfig.
    kubeconfig
        A kubeconfig file; if None, the mounted token, then ``KUBECONFIG``, then ``~/.kube/config``.
    context
        A context of the kubeconfig; its current one if None.
    server, token_file
        A server's URL and a file with a bearer token, instead of a kubeconfig.
    ca_file
        Trusted certificates in PEM, with `server` or `script`; the system's if None. With a script they are
        stored in the kubeconfig, but the script's option to skip verification is not.
    insecure_skip_tls_verify
        Do not verify the server's certificate, with `server`.
    credentials_without_tls
        Send credentials also to an ``http://`` address: only if the whole network in between is trusted.
    namespace
        The namespace to work in; the configuration's own if None.

    Returns
    -------
    Identity
        Your identity on the server.

    Raises
    ------
    UsageProblem
        If `script` is not a login script, or is truncated.
    NotLoggedIn, KubeconfigInvalid
        If no usable configuration is found. The previous cluster stays the current one.
    TokenExpired, ServerUnreachable, CertificateNotTrusted
        If the server does not answer, or rejects these credentials.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.login("config.sh")  # doctest: +SKIP
    >>> ssp.login(context="alice")  # doctest: +SKIP
    """
    noted: tuple[file_permissions.FileWarning, ...] = ()
    if script is not None:
        if isinstance(script, str | Path):
            noted = file_permissions.find_warnings([("script", user_path(script))])
        context = _log_in(script, kubeconfig, ca_file, other=bool(context or server or token_file))
        ca_file = None
    choice = session.ClusterChoice(
        kubeconfig=None if kubeconfig is None else str(kubeconfig),
        context=context,
        server=server,
        token_file=None if token_file is None else str(token_file),
        ca_file=None if ca_file is None else str(ca_file),
        insecure_skip_tls_verify=insecure_skip_tls_verify,
        credentials_without_tls=credentials_without_tls,
        namespace=namespace,
    )
    # The script's cluster is in the kubeconfig, so all other configuration is ignored.
    below = (
        session.ClusterChoice(kubeconfig=session.session.configured.kubeconfig)
        if script is not None
        else session.session.configured
    )
    found = find_cluster(**session.find_arguments(choice.fill_from(below)))
    found = replace(found, file_warnings=(*noted, *found.file_warnings))
    identity = who_am_i(found)
    with session.session.lock:
        before = session.session.cluster
        session.set_cluster(found)
    if before is not None:
        before.close()
    return identity


def _log_in(
    script: str | Path | LoginScript,
    kubeconfig: str | Path | None,
    ca_file: str | Path | None,
    *,
    other: bool,
) -> str:
    """Log in with a script, and return its context."""
    if other:
        raise UsageProblem(
            _("A login script already names the server and the context."),
            hint=_("%k8s_login config.sh   without --context, --server and --token-file"),
        )
    read = script if isinstance(script, LoginScript) else read_script(user_path(script))
    named = kubeconfig or session.session.configured.kubeconfig
    files = [user_path(named)] if named else default_files()
    log_in(read, files, user_path(ca_file) if ca_file else None)
    return read.context


def whoami() -> Identity:
    """Return your identity on the cluster.

    Returns
    -------
    Identity
        The user, the groups, the namespace, the server, and the configuration that they come from.

    Raises
    ------
    ClusterError
        If there is no configuration, or the server rejects it.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.whoami().user  # doctest: +SKIP
    'oidc-bob'
    """
    return who_am_i(session.current_cluster())
