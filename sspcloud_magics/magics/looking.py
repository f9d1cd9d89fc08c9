"""Who am I, and what is there: ``%k8s_whoami``, ``%k8s_login``, ``%k8s_pods``, ``%k8s_services``, ``%databases``."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from sspcloud_magics import session
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments


@magics_class
class LookingMagics(Magics):
    """The magics that change nothing in the cluster."""

    @magic_arguments()
    @line_magic
    def k8s_whoami(self, line: str) -> Any:
        """Say who you are for the cluster, in which namespace, and which configuration said so.

        In a notebook of SSPCloud nothing is needed for it; on a laptop, a kubeconfig.

        Example::

            %k8s_whoami

        The same in Python: ``ssp.whoami()``.
        """
        arguments(self, "k8s_whoami", line)
        return session.whoami()

    @magic_arguments()
    @argument("--context", metavar="NAME", help="a context of the kubeconfig, instead of its current one")
    @argument("--kubeconfig", metavar="FILE", help="a kubeconfig, instead of the one that would be found")
    @argument("--server", metavar="URL", help="the API server, where there is no kubeconfig")
    @argument("--token-file", metavar="FILE", help="a file that holds a token for --server")
    @argument("--ca", metavar="FILE", help="certificates to trust for --server, in PEM")
    @argument("-n", "--namespace", metavar="NAMESPACE", help="the namespace to work in")
    @line_magic
    def k8s_login(self, line: str) -> Any:
        """Choose the cluster and the identity for this notebook.

        Not needed where a configuration is found: the mounted token of a notebook service, then
        KUBECONFIG, then ~/.kube/config. Forwards and connections that are open stay as they are. A token
        is never taken from the line, which is saved with the notebook.

        Examples::

            %k8s_login --context alice
            %k8s_login --kubeconfig ~/Downloads/config
            %k8s_login --server https://apiserver.example:6443 --token-file ~/token

        The same in Python: ``ssp.login(context="alice")``.
        """
        given = arguments(self, "k8s_login", line)
        return session.login(
            kubeconfig=given.kubeconfig,
            context=given.context,
            server=given.server,
            token_file=given.token_file,
            ca_file=given.ca,
            namespace=given.namespace,
        )

    @magic_arguments()
    @argument("pattern", nargs="?", help="part of a name, or a pattern such as 'mon-api*'")
    @argument("-n", "--namespace", metavar="NAMESPACE", help="the namespace, instead of your own")
    @argument("-A", "--all-namespaces", action="store_true", help="all namespaces, where you may")
    @line_magic
    def k8s_pods(self, line: str) -> Any:
        """List the pods; the table is a DataFrame.

        Examples::

            %k8s_pods
            %k8s_pods mon-api
            not_ready = %k8s_pods -n user-alice

        The same in Python: ``ssp.pods("mon-api", namespace="user-alice")``.
        """
        given = arguments(self, "k8s_pods", line)
        return session.pods(given.pattern, namespace=given.namespace, all_namespaces=given.all_namespaces)

    @magic_arguments()
    @argument("pattern", nargs="?", help="part of a name, or a pattern such as 'postgres*'")
    @argument("-n", "--namespace", metavar="NAMESPACE", help="the namespace, instead of your own")
    @argument("-A", "--all-namespaces", action="store_true", help="all namespaces, where you may")
    @line_magic
    def k8s_services(self, line: str) -> Any:
        """List the services; the table is a DataFrame.

        Examples::

            %k8s_services
            %k8s_services -n user-alice

        The same in Python: ``ssp.services(namespace="user-alice")``.
        """
        given = arguments(self, "k8s_services", line)
        return session.services(given.pattern, namespace=given.namespace, all_namespaces=given.all_namespaces)

    @magic_arguments()
    @argument("-n", "--namespace", metavar="NAMESPACE", help="the namespace, instead of your own")
    @line_magic
    def databases(self, line: str) -> Any:
        """List the databases that there are to connect to; the table is a DataFrame.

        Examples::

            %databases
            %databases -n user-alice

        The same in Python: ``ssp.databases(namespace="user-alice")``.
        """
        given = arguments(self, "databases", line)
        return session.databases(namespace=given.namespace)
