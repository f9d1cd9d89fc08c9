"""The traps that people are known to step into, each looked for where one may look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sspcloud_magics.cluster.api.api_errors import NotFound, report_malformed
from sspcloud_magics.cluster.api.resources import NETWORK_POLICIES, ROLE_BINDINGS, ROLES
from sspcloud_magics.cluster.requests.object_reads import list_objects
from sspcloud_magics.cluster.workloads import inventory
from sspcloud_magics.databases.discovery import CNPG
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Finding, fine, look, make_broken, not_needed
from sspcloud_magics.errors import Forbidden
from sspcloud_magics.proxies import proxy_for
from sspcloud_magics.sharing import network_policies
from sspcloud_magics.sharing.rendering import join_names

_Found = TypeVar("_Found")
Rule = Mapping[str, Any]


def environment(patient: DoctorContext) -> Iterator[Finding]:
    """Look for variables that lead other tools elsewhere, and for copies of credentials that nobody renews."""
    found = list(_in_the_environment(patient))
    yield from found or [fine("Environment", "No variable, old kubeconfig or proxy leads elsewhere.")]


def _in_the_environment(patient: DoctorContext) -> Iterator[Finding]:
    said = sorted(name for name in patient.environ if name.startswith("PG") and name != "PGDATA")
    if said:
        yield look(
            "Environment",
            f"{join_names(said)} {'is' if len(said) == 1 else 'are'} set: psql and other programs follow them, to a database of their own choice.",
            "this package ignores them, and names every setting itself",
            hint="if another program connects to the wrong database, unset them in it",
        )
    cluster = patient.get_cluster()
    copies = [each.source for each in cluster.considered if each.outcome.startswith("ignored")]
    if copies:
        yield look(
            "Environment",
            "A kubeconfig lies beside the mounted token, as older images make one: its token is not renewed.",
            *copies,
            hint="this package ignores it; kubectl does not: remove it, or start a service of a newer image",
        )
    elif "in-cluster" in cluster.source:
        yield look(
            "Environment",
            "The kubeconfig was made inside a cluster, with a copy of a token that nobody renews.",
            hint="log in with the script of your account page: %k8s_login config.sh",
        )
    # Asking for access renews credentials: only where it is wanted, so that an ended login is told once.
    opens_no_tunnel = patient.target is not None and patient.lease is None
    if opens_no_tunnel and proxy_for(cluster.access(), patient.environ):
        yield look(
            "Environment",
            "A proxy stands before the server, and the tunnel did not open: many proxies break what is no plain HTTP.",
            hint="except the server from it, in NO_PROXY, if the network allows it",
        )


def bindings(patient: DoctorContext) -> Iterator[Finding]:
    """Look for roles that grant nothing, bindings to nobody, and passwords that were given away."""
    step, cluster = "Roles", patient.get_cluster()
    roles = _if_allowed(lambda: list_objects(cluster, ROLES))
    bound = _if_allowed(lambda: list_objects(cluster, ROLE_BINDINGS))
    if roles is None or bound is None:
        yield not_needed(step, "The roles of your namespace are not yours to read.")
        return
    with report_malformed(cluster):
        subjects = [str(each.get("name")) for binding in bound for each in binding.get("subjects") or ()]
        found = [*_without_effect(roles), *_to_nobody(bound, cluster.namespace), *_passwords(roles, bound)]
    patient.personal |= {name.partition("-")[2] for name in subjects} - {""}
    yield from found or [fine(step, f"Roles and bindings look right ({len(roles)} and {len(bound)}).")]


def _without_effect(roles: Sequence[Rule]) -> Iterator[Finding]:
    for role in roles:
        for rule in role.get("rules") or ():
            if "services/portforward" in (rule.get("resources") or ()):
                yield make_broken(
                    "Roles",
                    f"The role {_name(role)} grants services/portforward, which does not exist: it grants nothing.",
                    "a forward to a service is a forward to one of its pods (pods/portforward)",
                    hint="%share_db NAME --with COLLEAGUE   makes a role that works",
                )


def _to_nobody(bound: Sequence[Rule], namespace: str) -> Iterator[Finding]:
    for binding in bound:
        for subject in binding.get("subjects") or ():
            name = str(subject.get("name", ""))
            if subject.get("kind") == "User" and name.startswith(("user-", "projet-")):
                yield make_broken(
                    "Roles",
                    f"The binding {_name(binding)} names the user {name}, and that is a namespace: it reaches nobody.",
                    f"users are called as %k8s_whoami tells; the notebooks of {name} are the group "
                    f"system:serviceaccounts:{name}",
                    hint=f"%share_db NAME --with {name.partition('-')[2] or namespace}   binds the right ones",
                )


def _passwords(roles: Sequence[Rule], bound: Sequence[Rule]) -> Iterator[Finding]:
    """Find roles that let others read a chart's own secret: the project's password, the same everywhere."""
    granted = {_name(role): _charts_secrets(role) for role in roles}
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
                f"The binding {_name(binding)} lets others read {', '.join(given)}: the project's own password.",
                f"bound to: {', '.join(others)}",
                "it is the password of all services of the project, and of the database's superuser",
                hint="delete the binding, change the password of the project, and share with %share_db instead",
            )


def _charts_secrets(role: Rule) -> list[str]:
    found: list[str] = []
    for rule in role.get("rules") or ():
        reads = {"get", "list", "*"} & set(rule.get("verbs") or ())
        if not reads or not {"secrets", "*"} & set(rule.get("resources") or ()):
            continue
        names = rule.get("resourceNames") or ["all secrets"]
        found += [name for name in names if name == "all secrets" or _is_charts(str(name))]
    return found


def _is_charts(name: str) -> bool:
    """Whether a secret is one of those that a database's chart makes; a share's has its own name."""
    return name.startswith(("postgresql", "mariadb", "mongodb", "discoverable-")) and "-share-" not in name


def database(patient: DoctorContext) -> Iterator[Finding]:
    """Look at what is peculiar to the charts: policies that select nothing, the secret of another user."""
    found = patient.database
    if found is None:
        return
    where, cluster = found.namespace, patient.get_cluster()
    secret = f"{found.name}-app"
    if "cnpg" in found.name:
        yield fine(
            "Secrets",
            f"The secret {secret} is of another user and another database (app): it is not the one to use.",
            (patient.credentials and f"used: {patient.credentials.source}") or "",
        )
    known = _if_allowed(lambda: list_objects(cluster, NETWORK_POLICIES, where))
    pods = _if_allowed(lambda: inventory.pods(cluster, where))
    if known is None or pods is None:
        yield not_needed("Network", "The network policies there are not yours to read.")
        return
    mine = next((pod.labels for pod in pods if pod.labels.get(CNPG) == found.name), None)
    mine = mine or next((pod.labels for pod in pods if pod.name.startswith(found.name)), {})
    with report_malformed(cluster):
        about = network_policies.list_policies_about(known, mine, found.name)
        said = network_policies.describe_policies(about, mine, [pod.labels for pod in pods])
    useless = [line for line in said if "protects nothing" in line]
    rest = [line for line in said if line not in useless]
    if useless:
        yield look(
            "Network", useless[0], *useless[1:], *rest,
            hint="it is the chart's label that no pod has; the password alone protects the database",
        )  # fmt: skip
    else:
        yield fine("Network", rest[0], *rest[1:])


def _if_allowed(read: Callable[[], _Found]) -> _Found | None:
    try:
        return read()
    except (Forbidden, NotFound):
        return None


def _name(item: Rule) -> str:
    return str(item["metadata"]["name"])
