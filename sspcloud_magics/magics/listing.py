"""``%k8s_whoami``, ``%k8s_pods``, ``%k8s_services``, ``%databases``: your identity, and lists of objects."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from sspcloud_magics import session
from sspcloud_magics.i18n import N_
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments


@magics_class
class ListingMagics(Magics):
    """The magics that change nothing in the cluster."""

    @magic_arguments()
    @line_magic
    def k8s_whoami(self, line: str) -> Any:
        """Show your identity on the cluster, your namespace, and the configuration that they come from.

        A notebook of SSPCloud needs no configuration; on a laptop, you need a kubeconfig.

        Example::

            %k8s_whoami

        The same in Python: ``ssp.whoami()``.
        """
        arguments(self, "k8s_whoami", line)
        return session.whoami()

    @magic_arguments()
    @argument("pattern", nargs="?", help=N_("part of a name, or a pattern such as 'mon-api*'"))
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the namespace, instead of your own"))
    @argument("-A", "--all-namespaces", action="store_true", help=N_("all namespaces, if you may list them"))
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
    @argument("pattern", nargs="?", help=N_("part of a name, or a pattern such as 'postgres*'"))
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the namespace, instead of your own"))
    @argument("-A", "--all-namespaces", action="store_true", help=N_("all namespaces, if you may list them"))
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
    @argument("-n", "--namespace", metavar="NAMESPACE", help=N_("the namespace, instead of your own"))
    @line_magic
    def databases(self, line: str) -> Any:
        """List the databases that you can connect to: yours, and those shared with you; a DataFrame.

        Shares are found in the namespaces that you have named or used, in this notebook or earlier, the newest first.

        Examples::

            %databases
            %databases -n user-alice

        The same in Python: ``ssp.databases(namespace="user-alice")``.
        """
        given = arguments(self, "databases", line)
        return session.databases(namespace=given.namespace)
