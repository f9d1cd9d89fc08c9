"""``%k8s_login``, and reminders about the login's expiry."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import display

from sspcloud_magics import session
from sspcloud_magics.cluster.platform import copy_script_again
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.i18n import N_
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments
from sspcloud_magics.magics.display import Note


@magics_class
class LoginMagics(Magics):
    """The magic that logs in."""

    @magic_arguments()
    @argument(
        "script", nargs="?", metavar="FILE", help=N_("the login script of your account page, in a file")
    )
    @argument("--context", metavar="NAME", help=N_("a context of the kubeconfig, instead of its current one"))
    @argument("--kubeconfig", metavar="FILE", help=N_("a kubeconfig, instead of the default one"))
    @argument("--server", metavar="URL", help=N_("the API server, instead of a kubeconfig"))
    @argument("--token-file", metavar="FILE", help=N_("a file with a token for --server"))
    @argument(
        "--ca",
        metavar="FILE",
        help=N_(
            "trusted certificates in PEM: for --server, or instead of the script's option to skip verification"
        ),
    )
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the namespace to work in"))
    @line_magic
    def k8s_login(self, line: str) -> Any:
        """Log in with the script of your account page, or choose the cluster and the identity.

        The script (Connection to Kubernetes on the account page) is read and never run. It is tried on its
        server, and then merged into your kubeconfig, which keeps its other entries. Tokens are renewed from then
        on. You need not log in if there is a configuration: the mounted token of a notebook service, then
        KUBECONFIG, then ~/.kube/config. Open forwards and connections stay as they are. A token is never accepted
        on the line or in a cell, which is saved with the notebook.

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
    """Warnings below a cell, each shown once: the login will expire soon, or others may write its files."""

    def __init__(self) -> None:
        # The expiry that the last warning was about.
        self._warned_end: object = None
        # The remarks that were displayed.
        self._remarked: set[object] = set()

    def after_cell(self, _result: object) -> None:
        """Check the current cluster, if there is one; IPython calls this after each cell."""
        cluster = session.recent_use().cluster
        if cluster is None:
            return
        try:
            expiry = cluster.expiry()
        except SspcloudError:
            return  # the next magic that needs the cluster reports the error
        for remark in cluster.file_warnings:
            if remark not in self._remarked:
                self._remarked.add(remark)
                display(Note(remark.what, (remark.hint,)))  # type: ignore[no-untyped-call]  # IPython's
        warning = expiry.warning()
        if warning and expiry.ends != self._warned_end:
            self._warned_end = expiry.ends
            display(Note(warning, tuple(copy_script_again().split("\n"))))  # type: ignore[no-untyped-call]  # IPython's
