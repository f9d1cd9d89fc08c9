"""Who am I to the server, and what may I do: the two questions that it answers about oneself."""

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
from sspcloud_magics.printable import printable

UNVERIFIED = (
    "the server's certificate is not verified (insecure-skip-tls-verify): who stands between could read your token. "
    "%k8s_login FILE --ca CA.pem verifies it"
)
IN_CLEAR = (
    "the server's address begins with http://: an attacker on the network could read and change everything; "
    "credentials are sent only where SSPCloud.credentials_without_tls says so"
)
_CELL = "text-align:left;vertical-align:top;padding:.15em 1.2em .15em 0"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who one is to the server.

    Parameters
    ----------
    user
        The name that rights are bound to, such as ``oidc-bob``; empty where the server does not tell.
    groups
        The groups that rights are bound to.
    namespace
        The default namespace.
    server
        The API server.
    source
        The configuration that says so, in words.
    valid
        Until when the credentials are good, as far as they say.
    warning
        What is not as it should be: that the server's certificate is not verified, or that there is no TLS.
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
            ("User", self.user or "the server does not tell"),
            ("Groups", ", ".join(self.groups)),
            ("Namespace", self.namespace),
            ("Server", self.server),
            ("From", self.source),
            ("Valid", self.valid),
            ("Warning", self.warning),
        ]

    def __str__(self) -> str:
        rows = [(heading, printable(value, one_line=True)) for heading, value in self._rows() if value]
        return "\n".join(f"{heading:<10} {value}" for heading, value in rows)

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
    """Ask the server who one is (SelfSubjectReview, KEP-3325).

    Returns
    -------
    Identity
        The user and the groups, without a name where the server does not tell: one older than 1.28, or one that
        lets nobody ask.

    Raises
    ------
    ClusterError
        If the server cannot be asked, or does not take the credentials.
    """
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = cluster.api.ask(Attempt("create", SELF_SUBJECT_REVIEWS), body=body)
    except NotFound:
        answer = {}
    except Forbidden as error:
        # An old server, too, looks at rights before it looks whether it knows what is asked for. Another's 403 is no answer.
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
        valid=cluster.validity().words(),
        warning="; ".join(filter(None, [warning_of(cluster), *map(str, cluster.remarks)])),
    )


def warning_of(cluster: Cluster) -> str:
    """Return what is not as it should be about the way to the server; empty where nothing is."""
    if cluster.verifies:
        return ""
    return UNVERIFIED if cluster.server.startswith("https://") else IN_CLEAR


def may(
    cluster: Cluster,
    verb: str,
    resource: Resource,
    namespace: str | None = None,
    *,
    name: str = "",
    subresource: str = "",
) -> bool:
    """Ask the server whether one may do something (SelfSubjectAccessReview).

    Parameters
    ----------
    cluster
        Where, and as whom.
    verb
        ``get``, ``list``, ``create``, …
    resource
        The kind of object, of `sspcloud_magics.cluster.api.resources`.
    namespace
        The namespace; the cluster's default where None; ``*`` for all.
    name
        One object; any where empty.
    subresource
        A part of it, such as ``portforward``.

    Returns
    -------
    bool
        Whether it is allowed.

    Raises
    ------
    ClusterError
        If the server cannot be asked.

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
    """Ask the server which of Kubernetes' roles for users one has in one's namespace, by what each is needed for.

    Returns
    -------
    str
        ``admin`` (may share), ``edit`` (may forward), ``view`` (may look), or ``none``.

    Raises
    ------
    ClusterError
        If the server cannot be asked.
    """
    if may(cluster, "create", ROLES):
        return "admin"
    if may(cluster, "create", PODS, subresource="portforward"):
        return "edit"
    return "view" if may(cluster, "list", PODS) else "none"


def secrets_by_name(cluster: Cluster, namespace: str) -> tuple[str, ...]:
    """Ask the server which Secrets of a namespace one may read by their names (SelfSubjectRulesReview).

    Returns
    -------
    tuple of str
        The names that one's rights say, each once; whether the Secrets exist is another question.

    Raises
    ------
    ClusterError
        If the server cannot be asked.
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
