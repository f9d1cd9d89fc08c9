"""Checks of your permissions and of the quota in your namespace."""

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
from sspcloud_magics.i18n import N_, _

RESOURCE_QUOTAS = Resource("resourcequotas")


@dataclass(frozen=True, slots=True)
class _Permission:
    action: str
    verb: str
    resource: Resource
    subresource: str = ""
    without: str = ""  # what does not work without it


# In the order of the roles that grant them: view, edit, admin.
_PERMISSIONS = (
    _Permission(
        N_("list pods"), "list", PODS, without=N_("%k8s_pods and the completion of names do not work")
    ),
    _Permission(
        N_("forward to pods"), "create", PODS, "portforward", N_("%forward and %connect_db do not work")
    ),
    _Permission(
        N_("read secrets"), "get", SECRETS, without=N_("%connect_db needs a user and a password from you")
    ),
    _Permission(N_("create pods"), "create", PODS, without=N_("%connect_db cannot create a relay")),
    _Permission(
        N_("change network policies"),
        "create",
        NETWORK_POLICIES,
        without=N_("%share_db cannot open the network"),
    ),
    _Permission(N_("create roles"), "create", ROLES, without=N_("%share_db cannot share")),
)
_ESSENTIAL = 2
"""The number of permissions, from the first, without which no target can be reached."""


def permissions(context: DoctorContext) -> Iterator[Finding]:
    """Check each permission in your own namespace."""
    cluster = context.get_cluster()
    held = {
        each: may(cluster, each.verb, each.resource, subresource=each.subresource) for each in _PERMISSIONS
    }
    missing = [each for each, allowed in held.items() if not allowed]
    seen = [
        _("may {action}", action=_(each.action)) if allowed else _("may not {action}", action=_(each.action))
        for each, allowed in held.items()
    ]
    if not missing:
        what = _("You have all permissions that are needed in {namespace}.", namespace=cluster.namespace)
        yield fine("Permissions", what, *seen)
        return
    actions = ", ".join(_(each.action) for each in missing)
    seen += [
        _("{action} is missing: {effect}", action=_(each.action), effect=_(each.without)) for each in missing
    ]
    hint = _(
        "ask the owner of {namespace} for the permission to {actions}",
        namespace=cluster.namespace,
        actions=actions,
    )
    if cluster.in_service:
        last = missing[-1]  # it needs the strongest role
        link = relaunch_link(Attempt(last.verb, last.resource, cluster.namespace, "", last.subresource))
        hint = _("relaunch the service with a role that allows it: {link}", link=link)
    kind = make_broken if set(missing) & set(_PERMISSIONS[:_ESSENTIAL]) else look
    what = _("You may not {actions} in {namespace}.", actions=actions, namespace=cluster.namespace)
    yield kind("Permissions", what, *seen, hint=hint)


def quota(context: DoctorContext) -> Iterator[Finding]:
    """Check whether the quotas of the namespace leave room for another pod."""
    cluster = context.get_cluster()
    try:
        found = list_objects(cluster, RESOURCE_QUOTAS)
    except (Forbidden, NotFound):
        yield not_needed("Quota", _("You may not read the quotas of the namespace; only a relay needs room."))
        return
    seen: list[str] = []
    full: list[str] = []
    with report_malformed(cluster):
        for each in found:
            status = each.get("status") or {}
            used = status.get("used") or {}
            for name, hard in (status.get("hard") or (each.get("spec") or {}).get("hard") or {}).items():
                taken = str(used.get(name, 0))
                seen.append(
                    _(
                        "{quota}: {resource} {used} of {limit}",
                        quota=each["metadata"]["name"],
                        resource=name,
                        used=taken,
                        limit=hard,
                    )
                )
                # A quantity such as 10k is large enough.
                is_count = taken.isdecimal() and str(hard).isdecimal()
                if name in ("pods", "count/pods") and is_count and int(taken) >= int(hard):
                    full.append(name)
    if full:
        yield look(
            "Quota",
            _("The namespace has no room for another pod, such as a relay."),
            *seen,
            hint=_("stop a service that you do not need"),
        )
    else:
        yield fine(
            "Quota", _("There is room for a pod.") if found else _("The namespace has no quota."), *seen
        )
