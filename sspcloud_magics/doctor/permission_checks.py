"""What one may do in one's namespace, and what room is left in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sspcloud_magics.cluster.api.api_errors import NotFound, relaunch_link, report_malformed
from sspcloud_magics.cluster.api.resources import (
    NETWORK_POLICIES,
    PODS,
    ROLES,
    SECRETS,
    Attempt,
    Resource,
)
from sspcloud_magics.cluster.requests.object_reads import list_objects
from sspcloud_magics.cluster.requests.permissions import may
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Finding, fine, look, make_broken, not_needed
from sspcloud_magics.errors import Forbidden

RESOURCE_QUOTAS = Resource("resourcequotas")


@dataclass(frozen=True, slots=True)
class _Right:
    words: str
    verb: str
    resource: Resource
    subresource: str = ""
    without: str = ""


_RIGHTS = (
    _Right("list pods", "list", PODS, without="%k8s_pods and names that are completed do not work"),
    _Right("forward to pods", "create", PODS, "portforward", "%forward and %connect_db do not work"),
    _Right("read secrets", "get", SECRETS, without="%connect_db has to be told a user and a password"),
    _Right("create pods", "create", PODS, without="no relay can be made"),
    _Right(
        "change network policies", "create", NETWORK_POLICIES, without="%share_db cannot open the network"
    ),
    _Right("make roles", "create", ROLES, without="%share_db cannot share"),
)
_ESSENTIAL = 2
"""So many of them, the first ones, are needed to reach anything at all."""


def rights(patient: DoctorContext) -> Iterator[Finding]:
    """Ask the server, right by right, what one may do in one's own namespace."""
    cluster = patient.get_cluster()
    held = {
        right: may(cluster, right.verb, right.resource, subresource=right.subresource) for right in _RIGHTS
    }
    missing = [right for right, allowed in held.items() if not allowed]
    seen = [f"{'may' if held[right] else 'may not'} {right.words}" for right in _RIGHTS]
    where = f"in {cluster.namespace}"
    if not missing:
        yield fine("Rights", f"You may do all that is needed {where}.", *seen)
        return
    words = ", ".join(right.words for right in missing)
    seen += [f"{right.words} is missing: {right.without}" for right in missing]
    hint = f"ask whoever owns {cluster.namespace} for the right to {words}"
    if cluster.in_service:
        last = missing[-1]  # the strongest role of all that are needed
        link = relaunch_link(Attempt(last.verb, last.resource, cluster.namespace, "", last.subresource))
        hint = f"relaunch the service with a role that allows it: {link}"
    kind = make_broken if set(missing) & set(_RIGHTS[:_ESSENTIAL]) else look
    yield kind("Rights", f"You may not {words} {where}.", *seen, hint=hint)


def quota(patient: DoctorContext) -> Iterator[Finding]:
    """Look at the namespace's quotas: is there room for one more pod."""
    cluster = patient.get_cluster()
    try:
        found = list_objects(cluster, RESOURCE_QUOTAS)
    except (Forbidden, NotFound):
        yield not_needed("Quota", "The quotas of the namespace cannot be read; only a relay needs room.")
        return
    seen: list[str] = []
    full: list[str] = []
    with report_malformed(cluster):
        for each in found:
            status = each.get("status") or {}
            used = status.get("used") or {}
            for name, hard in (status.get("hard") or (each.get("spec") or {}).get("hard") or {}).items():
                taken = str(used.get(name, 0))
                seen.append(f"{each['metadata']['name']}: {name} {taken} of {hard}")
                # A quantity may be written 10k, too: then there is room.
                is_count = taken.isdecimal() and str(hard).isdecimal()
                if name in ("pods", "count/pods") and is_count and int(taken) >= int(hard):
                    full.append(name)
    if full:
        yield look(
            "Quota",
            "The namespace has no room for another pod: no relay can be made.",
            *seen,
            hint="stop a service that you do not need",
        )
    else:
        yield fine("Quota", "There is room for a pod." if found else "The namespace has no quota.", *seen)
