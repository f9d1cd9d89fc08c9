"""Checks for known issues, as far as the permissions allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sspcloud_magics import platforms
from sspcloud_magics.cluster.api.api_errors import NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import NETWORK_POLICIES, ROLE_BINDINGS, ROLES
from sspcloud_magics.cluster.requests.object_reads import list_objects
from sspcloud_magics.cluster.workloads import inventory
from sspcloud_magics.databases.discovery import CNPG
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Finding, fine, look, make_broken, not_needed
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.i18n import N_, _, _n, format_list
from sspcloud_magics.proxies import proxy_for
from sspcloud_magics.sharing import network_policies

_Found = TypeVar("_Found")
Rule = Mapping[str, Any]


def environment(context: DoctorContext) -> Iterator[Finding]:
    """Find variables that redirect other programs, credentials that are not renewed, and proxies."""
    found = list(_check_environment(context))
    yield from found or [fine("Environment", _("No variable, old kubeconfig or proxy is in the way."))]


def _check_environment(context: DoctorContext) -> Iterator[Finding]:
    variables = sorted(name for name in context.environ if name.startswith("PG") and name != "PGDATA")
    if variables:
        yield look(
            "Environment",
            _n(
                "{variables} is set: psql and other programs connect to the database that it names.",
                "{variables} are set: psql and other programs connect to the database that they name.",
                len(variables),
                variables=format_list(variables),
            ),
            _("this package ignores them, and passes all settings explicitly"),
            hint=_("if another program connects to the wrong database, unset them there"),
        )
    cluster = context.get_cluster()
    copies = [each.source for each in cluster.considered if each.is_copy]
    if copies:
        yield look(
            "Environment",
            _(
                "There is a kubeconfig besides the mounted token, as in older images: its token is not renewed."
            ),
            *copies,
            hint=_(
                "remove it, or start a service with a newer image: this package ignores it, but kubectl does not"
            ),
        )
    elif "in-cluster" in cluster.source:
        yield look(
            "Environment",
            _("The kubeconfig was created inside a cluster, with a copy of a token that is not renewed."),
            hint=_("log in with the script of your account page: %k8s_login config.sh"),
        )
    # `access` may renew credentials: call it only if needed, so that an expired login is reported once.
    tunnel_failed = context.target is not None and context.lease is None
    if tunnel_failed and proxy_for(cluster.access(), context.environ):
        yield look(
            "Environment",
            _(
                "There is a proxy in front of the server, and the tunnel did not open: many proxies support only plain HTTP."
            ),
            hint=_("add the server to NO_PROXY, if the network allows direct connections"),
        )


def bindings(context: DoctorContext) -> Iterator[Finding]:
    """Find roles that grant nothing, bindings without a valid subject, and shared passwords of charts."""
    step, cluster = "Roles", context.get_cluster()
    roles = _if_allowed(lambda: list_objects(cluster, ROLES))
    bound = _if_allowed(lambda: list_objects(cluster, ROLE_BINDINGS))
    if roles is None or bound is None:
        yield not_needed(step, _("You may not read the roles of your namespace."))
        return
    with report_malformed(cluster):
        subjects = [str(each.get("name")) for binding in bound for each in binding.get("subjects") or ()]
        found = [
            *_find_void_roles(roles),
            *_find_void_bindings(bound, cluster.namespace),
            *_find_shared_passwords(roles, bound),
        ]
    context.personal |= {name.partition("-")[2] for name in subjects} - {""}
    yield from found or [
        fine(
            step,
            _(
                "Roles and bindings look right ({roles} and {bindings}).",
                roles=len(roles),
                bindings=len(bound),
            ),
        )
    ]


def _find_void_roles(roles: Sequence[Rule]) -> Iterator[Finding]:
    for role in roles:
        for rule in role.get("rules") or ():
            if "services/portforward" in (rule.get("resources") or ()):
                yield make_broken(
                    "Roles",
                    _(
                        "The role {name} grants services/portforward, which does not exist: it grants nothing.",
                        name=_name(role),
                    ),
                    _("a forward to a service is a forward to one of its pods (pods/portforward)"),
                    hint=_("%share_db NAME --with COLLEAGUE   creates a role that works"),
                )


def _find_void_bindings(bound: Sequence[Rule], namespace: str) -> Iterator[Finding]:
    for binding in bound:
        for subject in binding.get("subjects") or ():
            name = str(subject.get("name", ""))
            if subject.get("kind") == "User" and platforms.current().is_namespace(name):
                yield make_broken(
                    "Roles",
                    _(
                        "The binding {name} names the user {user}, which is a namespace: it has no effect.",
                        name=_name(binding),
                        user=name,
                    ),
                    _(
                        "%k8s_whoami shows the names of users; the notebooks of {name} are the group "
                        "system:serviceaccounts:{name}",
                        name=name,
                    ),
                    hint=_(
                        "%share_db NAME --with {colleague}   binds the right subjects",
                        colleague=name.partition("-")[2] or namespace,
                    ),
                )


def _find_shared_passwords(roles: Sequence[Rule], bound: Sequence[Rule]) -> Iterator[Finding]:
    """Find roles that let others read a chart's Secret, with the password of the whole project."""
    granted = {_name(role): _list_chart_secrets(role) for role in roles}
    for binding in bound:
        reference = binding.get("roleRef") or {}
        given = granted.get(str(reference.get("name"))) if reference.get("kind") == "Role" else None
        others = [
            str(each.get("name"))
            for each in binding.get("subjects") or ()
            if each.get("kind") != "ServiceAccount"
        ]
        if given and others:
            yield make_broken(
                "Roles",
                _(
                    "The binding {name} lets others read {secrets}: the project's own password.",
                    name=_name(binding),
                    secrets=", ".join(_(_ALL_SECRETS) if each == _ALL_SECRETS else each for each in given),
                ),
                _("bound to: {others}", others=", ".join(others)),
                _("it is the password of all services of the project, and of the database's superuser"),
                hint=_(
                    "delete the binding, change the password of the project, and share with %share_db instead"
                ),
            )


# No Secret can have a name with a blank.
_ALL_SECRETS = N_("all secrets")


def _list_chart_secrets(role: Rule) -> list[str]:
    found: list[str] = []
    for rule in role.get("rules") or ():
        reads = {"get", "list", "*"} & set(rule.get("verbs") or ())
        if not reads or not {"secrets", "*"} & set(rule.get("resources") or ()):
            continue
        names = rule.get("resourceNames") or [_ALL_SECRETS]
        found += [name for name in names if name == _ALL_SECRETS or _is_chart_secret(str(name))]
    return found


def _is_chart_secret(name: str) -> bool:
    """Whether the chart of a database creates a Secret of that name, rather than a share."""
    return name.startswith(("postgresql", "mariadb", "mongodb", "discoverable-")) and "-share-" not in name


def database(context: DoctorContext) -> Iterator[Finding]:
    """Check peculiarities of the charts: network policies that select nothing, and the Secret of another user."""
    found = context.database
    if found is None:
        return
    where, cluster = found.namespace, context.get_cluster()
    secret = f"{found.name}-app"
    if "cnpg" in found.name:
        yield fine(
            "Secrets",
            _(
                "Do not use the secret {secret}: it is for another user and another database (app).",
                secret=secret,
            ),
            _("used: {source}", source=context.credentials.source) if context.credentials else "",
        )
    known = _if_allowed(lambda: list_objects(cluster, NETWORK_POLICIES, where))
    pods = _if_allowed(lambda: inventory.pods(cluster, where))
    if known is None or pods is None:
        yield not_needed("Network", _("You may not read the network policies there."))
        return
    mine = next((pod.labels for pod in pods if pod.labels.get(CNPG) == found.name), None)
    mine = mine or next((pod.labels for pod in pods if pod.name.startswith(found.name)), {})
    with report_malformed(cluster):
        about = network_policies.list_policies_about(known, mine, found.name)
        *useless, access = network_policies.describe_policies(about, mine, [pod.labels for pod in pods])
    if useless:
        yield look(
            "Network", *useless, access,
            hint=_("do not rely on this policy: no pod has its label, so only the password protects the database"),
        )  # fmt: skip
    else:
        yield fine("Network", access)


def _if_allowed(read: Callable[[], _Found]) -> _Found | None:
    try:
        return read()
    except (Forbidden, NotFound):
        return None


def _name(item: Rule) -> str:
    return str(item["metadata"]["name"])
