"""Who the user is for the cluster: logging in, and asking."""

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
    """Log in: with the account page's script, or by choosing a cluster; and prove that it takes one.

    You need not call this where there is a mounted service-account token (a notebook service of
    SSPCloud) or a kubeconfig. Forwards and connections that are open stay as they are; those whose credentials
    had ended heal by themselves once the script has brought new ones.

    Parameters
    ----------
    script
        The file with the login script of the account page, or what `login_script.parse` made of its text.
        It is read and never run, tried on the server, and then merged into the kubeconfig.
    kubeconfig
        A kubeconfig file; the mounted token, then ``KUBECONFIG``, then ``~/.kube/config`` where it is None.
    context
        A context of the kubeconfig; its current one where it is None.
    server, token_file
        A server's URL and a file that holds a bearer token, where there is no kubeconfig.
    ca_file
        Certificates to trust in PEM, with `server` or `script`; the system's where it is None. With a
        script they are kept in the kubeconfig, and the script's order not to verify is not.
    insecure_skip_tls_verify
        Do not verify the server's certificate, with `server`.
    credentials_without_tls
        Send credentials also to a server whose address begins with ``http://``: where the whole way is safe.
    namespace
        The namespace to work in; the configuration's own where it is None.

    Returns
    -------
    Identity
        Who one is for the server.

    Raises
    ------
    UsageProblem
        If the script is none, or is cut off.
    NotLoggedIn, KubeconfigInvalid
        If no usable configuration is found. The cluster of before stays the current one.
    TokenExpired, ServerUnreachable, CertificateNotTrusted
        If the server does not answer, or not to these credentials.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.login("config.sh")  # doctest: +SKIP
    >>> ssp.login(context="alice")  # doctest: +SKIP
    """
    noted: tuple[file_permissions.FileWarning, ...] = ()
    if script is not None:
        if isinstance(script, str | Path):
            noted = file_permissions.remarks([("login script", user_path(script))])
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
    # What a script brought is in the kubeconfig, whatever is configured otherwise.
    below = (
        session.ClusterChoice(kubeconfig=session.session.configured.kubeconfig)
        if script is not None
        else session.session.configured
    )
    found = find_cluster(**session.find_arguments(choice.fill_from(below)))
    found = replace(found, remarks=(*noted, *found.remarks))
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
    """Log in with a script, and return the context that it brought."""
    if other:
        raise UsageProblem(
            "A script says itself which server and context; another was named beside it.",
            hint="%k8s_login config.sh   or the other, not both",
        )
    read = script if isinstance(script, LoginScript) else read_script(user_path(script))
    named = kubeconfig or session.session.configured.kubeconfig
    files = [user_path(named)] if named else default_files()
    log_in(read, files, user_path(ca_file) if ca_file else None)
    return read.context


def whoami() -> Identity:
    """Say who one is for the cluster, and where.

    Returns
    -------
    Identity
        The user, the groups, the namespace, the server, and which configuration said so.

    Raises
    ------
    ClusterError
        If there is no configuration, or the server does not accept it.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.whoami().user  # doctest: +SKIP
    'oidc-bob'
    """
    return who_am_i(session.current_cluster())
