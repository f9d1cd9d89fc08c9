"""``%k8s_login``: the account page's script, or another configuration, becomes one's identity."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import display

from sspcloud_magics import session
from sspcloud_magics.cluster.platform import ACCOUNT_PAGE
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments
from sspcloud_magics.magics.display import Note

ACCOUNT_STEPS = (
    f"copy the login script from your account page: {ACCOUNT_PAGE}",
    "%k8s_login config.sh   takes it; what is open stays open",
)


@magics_class
class LoginMagics(Magics):
    """The magic that logs in."""

    @magic_arguments()
    @argument("script", nargs="?", metavar="FILE", help="the login script of your account page, in a file")
    @argument("--context", metavar="NAME", help="a context of the kubeconfig, instead of its current one")
    @argument("--kubeconfig", metavar="FILE", help="a kubeconfig, instead of the one that would be found")
    @argument("--server", metavar="URL", help="the API server, where there is no kubeconfig")
    @argument("--token-file", metavar="FILE", help="a file that holds a token for --server")
    @argument(
        "--ca",
        metavar="FILE",
        help="certificates to trust, in PEM: for --server, or instead of the script's order not to verify",
    )
    @argument("-n", "--namespace", metavar="NAMESPACE", help="the namespace to work in")
    @line_magic
    def k8s_login(self, line: str) -> Any:
        """Log in with the script of your account page, or choose the cluster and the identity.

        The script (Connection to Kubernetes on the account page) is read and never run. It is tried on its
        server, and then merged into your kubeconfig, which keeps all else that it holds. Tokens are renewed
        from then on. Nothing of this is needed where a configuration is found: the mounted token of a notebook
        service, then KUBECONFIG, then ~/.kube/config. Forwards and connections that are open stay as they
        are. A token is never taken from the line or a cell, which is saved with the notebook.

        Examples::

            %k8s_login config.sh
            %k8s_login config.sh --ca sspcloud-ca.pem
            %k8s_login --context alice
            %k8s_login --kubeconfig ~/Downloads/config
            %k8s_login --server https://apiserver.example:6443 --token-file ~/token

        The same in Python: ``ssp.login("config.sh")``.
        """
        given = arguments(self, "k8s_login", line)
        return session.login(
            given.script,
            kubeconfig=given.kubeconfig,
            context=given.context,
            server=given.server,
            token_file=given.token_file,
            ca_file=given.ca,
            namespace=given.namespace,
        )


class Reminder:
    """Says once, below a cell, that the login is about to end, or that others may write what it stands on."""

    def __init__(self) -> None:
        self._told: object = None
        self._remarked: set[object] = set()

    def after_cell(self, _result: object) -> None:
        """Look at the cluster of the moment, if there is one; IPython calls this after each cell."""
        cluster = session.recent_use().cluster
        if cluster is None:
            return
        try:
            validity = cluster.validity()
        except SspcloudError:
            return  # whoever needs the cluster is told why
        for remark in cluster.remarks:
            if remark not in self._remarked:
                self._remarked.add(remark)
                display(Note(remark.what, (remark.hint,)))  # type: ignore[no-untyped-call]  # IPython's
        warning = validity.warning()
        if warning and validity.ends != self._told:
            self._told = validity.ends
            display(Note(warning, ACCOUNT_STEPS))  # type: ignore[no-untyped-call]  # IPython's
