"""Your identity and your permissions, as the API server reports them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from sspcloud_magics.cluster.api.api_errors import ANONYMOUS, NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import (
    ALL_NAMESPACES,
    PODS,
    ROLES,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    Attempt,
    Resource,
)
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.i18n import _
from sspcloud_magics.printable import printable

_CELL = "text-align:left;vertical-align:top;padding:.15em 1.2em .15em 0"


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity that the API server sees.

    Parameters
    ----------
    user
        The user name in role bindings, such as ``oidc-bob``; empty if the server does not report it.
    groups
        The groups in role bindings.
    namespace
        The default namespace.
    server
        The API server.
    source
        The description of the configuration's source.
    valid
        The expiry of the credentials, as a text; empty if unknown.
    warning
        A problem such as an unverified certificate, a connection without TLS, or a file that others can write.
    """

    user: str
    groups: tuple[str, ...]
    namespace: str
    server: str
    source: str
    valid: str = ""
    warning: str = ""

    def _rows(self) -> list[tuple[str, str]]:
        return [
            (_("User"), self.user or _("not reported by the server")),
            (_("Groups"), ", ".join(self.groups)),
            (_("Namespace"), self.namespace),
            (_("Server"), self.server),
            (_("From"), self.source),
            (_("Valid"), self.valid),
            (_("Warning"), self.warning),
        ]

    def __str__(self) -> str:
        rows = [(heading, printable(value, one_line=True)) for heading, value in self._rows() if value]
        width = max(len(heading) for heading, _value in self._rows()) + 1
        return "\n".join(f"{heading:<{width}} {value}" for heading, value in rows)

    def _repr_pretty_(self, printer: object, _cycle: object) -> None:
        printer.text(str(self))  # type: ignore[attr-defined] # IPython's RepresentationPrinter

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row' style='{_CELL}'>{escape(heading)}</th>"
            f"<td style='{_CELL}'>{escape(printable(value, one_line=True))}</td></tr>"
            for heading, value in self._rows()
            if value
        )
        colour = "color:var(--jp-content-font-color1, inherit)"
        return f"<table style='border-collapse:collapse;margin:0;{colour}'>{rows}</table>"


def who_am_i(cluster: Cluster) -> Identity:
    """Return the identity that the API server sees (SelfSubjectReview, KEP-3325).

    Returns
    -------
    Identity
        The user and the groups, without a name if the server does not report it: before version 1.28, or if
        the request is forbidden for everyone.

    Raises
    ------
    ClusterError
        If the request fails, or the server does not accept the credentials.
    """
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = cluster.api.ask(Attempt("create", SELF_SUBJECT_REVIEWS), body=body)
    except NotFound:
        answer = {}
    except Forbidden as error:
        # An old server checks permissions before it notices an unknown resource. A 403 for another reason is an error.
        if SELF_SUBJECT_REVIEWS.plural not in error.why or ANONYMOUS in error.why:
            raise
        answer = {}
    with report_malformed(cluster):
        info = (answer.get("status") or {}).get("userInfo") or {}
        user, groups = str(info.get("username") or ""), tuple(map(str, info.get("groups") or ()))
    return Identity(
        user=user,
        groups=groups,
        namespace=cluster.namespace,
        server=cluster.server,
        source=cluster.source,
        valid=cluster.expiry().describe(),
        warning="; ".join(filter(None, [warning_of(cluster), *map(str, cluster.file_warnings)])),
    )


def warning_of(cluster: Cluster) -> str:
    """Return a warning about an insecure connection to the server; empty if it is secure."""
    if cluster.verifies:
        return ""
    if cluster.server.startswith("https://"):
        return _(
            "the server's certificate is not verified (insecure-skip-tls-verify): "
            "an attacker on the network could read your token. %k8s_login FILE --ca CA.pem verifies it"
        )
    return _(
        "the server's address begins with http://: an attacker on the network could read and change everything; "
        "credentials are sent only if SSPCloud.credentials_without_tls is set"
    )


def may(
    cluster: Cluster,
    verb: str,
    resource: Resource,
    namespace: str | None = None,
    *,
    name: str = "",
    subresource: str = "",
) -> bool:
    """Return whether RBAC allows you a request (SelfSubjectAccessReview).

    Parameters
    ----------
    verb
        ``get``, ``list``, ``create``, …
    resource
        The resource type, of `sspcloud_magics.cluster.api.resources`.
    namespace
        The namespace; the cluster's default if None; ``*`` for all.
    name
        An object; any if empty.
    subresource
        A subresource, such as ``portforward``.

    Returns
    -------
    bool
        Whether it is allowed.

    Raises
    ------
    ClusterError
        If the request fails.

    Examples
    --------
    ``may(cluster, "create", PODS, "user-alice", name="db-1", subresource="portforward")``
    """
    where = namespace or cluster.namespace
    attributes = {
        "verb": verb,
        "group": resource.group,
        "resource": resource.plural,
        "subresource": subresource,
        "name": name,
    }
    if resource.namespaced and where != ALL_NAMESPACES:
        attributes["namespace"] = where
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = cluster.api.ask(Attempt("create", SELF_SUBJECT_ACCESS_REVIEWS), body=body)
    with report_malformed(cluster):
        return bool((answer.get("status") or {}).get("allowed"))


def strongest_role(cluster: Cluster) -> str:
    """Return the strongest of Kubernetes' user roles that you have in your namespace, by what each allows.

    Returns
    -------
    str
        ``admin`` (may share), ``edit`` (may forward), ``view`` (may list pods), or ``none``.

    Raises
    ------
    ClusterError
        If a request fails.
    """
    if may(cluster, "create", ROLES):
        return "admin"
    if may(cluster, "create", PODS, subresource="portforward"):
        return "edit"
    return "view" if may(cluster, "list", PODS) else "none"


def secrets_by_name(cluster: Cluster, namespace: str) -> tuple[str, ...]:
    """Return the names of Secrets in a namespace that your RBAC rules let you read (SelfSubjectRulesReview).

    Returns
    -------
    tuple of str
        The names in the rules, without duplicates; the Secrets may not exist.

    Raises
    ------
    ClusterError
        If the request fails.
    """
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = cluster.api.ask(Attempt("create", SELF_SUBJECT_RULES_REVIEWS), body=body)
    names: dict[str, None] = {}
    with report_malformed(cluster):
        for rule in (answer.get("status") or {}).get("resourceRules") or ():
            if "secrets" in (rule.get("resources") or ()) and {"get", "*"} & set(rule.get("verbs") or ()):
                names |= dict.fromkeys(rule.get("resourceNames") or ())
    return tuple(names)
