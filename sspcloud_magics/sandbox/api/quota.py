"""ResourceQuotas: admission and status.

A quota limits numbers of objects (``pods``, ``count/jobs.batch``) and the sum of the containers' resources
(``requests.cpu``, ``limits.memory``). A new object that would exceed it is refused, and so is a pod that does
not specify a limited resource. Pods that have ended do not count.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api import status
from sspcloud_magics.sandbox.api.quantities import format_quantity, parse_quantity
from sspcloud_magics.sandbox.pods import pod_over
from sspcloud_magics.sandbox.resources import RESOURCES, Resource, by_kind
from sspcloud_magics.sandbox.store import Change, Obj, Store, copy_json

_COUNTED = ("configmaps", "persistentvolumeclaims", "pods", "resourcequotas", "secrets", "services")
_COMPUTE = {
    "cpu": ("requests", "cpu"),
    "memory": ("requests", "memory"),
    "limits.cpu": ("limits", "cpu"),
    "limits.memory": ("limits", "memory"),
    "requests.cpu": ("requests", "cpu"),
    "requests.memory": ("requests", "memory"),
}


def check_quota(store: Store, obj: Obj) -> None:
    """Raise `ApiError` 403 if a new object exceeds a quota of its namespace, or does not specify a limited resource."""
    resource = by_kind(obj["apiVersion"], obj["kind"])
    name, namespace = obj["metadata"].get("name", ""), obj["metadata"].get("namespace", "")
    for quota in store.peek_all(kinds.QUOTAS, namespace) if namespace else ():
        hard: Obj = (quota.get("spec") or {}).get("hard") or {}
        title = quota["metadata"]["name"]
        missing = _list_unspecified(obj, hard) if resource is kinds.PODS else {}
        if missing:
            words = "; ".join(f"{item} for: {','.join(containers)}" for item, containers in missing.items())
            raise status.make_forbidden(
                resource.group, resource.plural, name, f"failed quota: {title}: must specify {words}"
            )
        asked = {item: amount for item in hard if (amount := _amount(resource, obj, item))}
        used = {item: _count_used(store, namespace, item) for item in asked}
        over = sorted(item for item in asked if used[item] + asked[item] > parse_quantity(hard[item]))
        if over:
            requested, in_use, limited = (
                ",".join(f"{item}={_format_amount(amounts[item], item)}" for item in over)
                for amounts in (asked, used, {item: parse_quantity(hard[item]) for item in over})
            )
            why = f"exceeded quota: {title}, requested: {requested}, used: {in_use}, limited: {limited}"
            raise status.make_forbidden(resource.group, resource.plural, name, why)


def follow_quotas(store: Store) -> Callable[[], None]:
    """Keep the status of all quotas up to date from now on; return a function that ends it."""

    def on_change(change: Change) -> None:
        namespace = change.object["metadata"].get("namespace")
        if namespace:
            for quota in store.peek_all(kinds.QUOTAS, namespace):
                _update_status(store, quota)

    return store.subscribe(on_change)


def _update_status(store: Store, quota: Obj) -> None:
    hard: Obj = (quota.get("spec") or {}).get("hard") or {}
    namespace = quota["metadata"]["namespace"]
    used = {item: _format_amount(_count_used(store, namespace, item), item) for item in hard}
    wanted = {"hard": dict(hard), "used": used}
    if quota.get("status") != wanted:
        changed = copy_json(quota)
        changed["status"] = wanted
        store.update(changed)


def _count_used(store: Store, namespace: str, item: str) -> Decimal:
    resource = _resource_of(item)
    objects: Iterable[Obj] = store.peek_all(resource, namespace) if resource else ()
    return sum((_amount(resource, obj, item) for obj in objects if resource), Decimal(0))


def _amount(resource: Resource, obj: Obj, item: str) -> Decimal:
    """Return the amount of a limited item that an object uses."""
    if resource is not _resource_of(item):
        return Decimal(0)
    if resource is kinds.PODS and pod_over(obj):
        return Decimal(0)
    if item not in _COMPUTE:
        return Decimal(1)
    kind, what = _COMPUTE[item]
    amounts = [
        ((c.get("resources") or {}).get(kind) or {}).get(what) for c in obj["spec"].get("containers") or ()
    ]
    return sum((parse_quantity(amount) for amount in amounts if amount is not None), Decimal(0))


def _list_unspecified(pod: Obj, hard: Obj) -> dict[str, list[str]]:
    """Return the containers of a pod that do not specify a limited resource, by resource."""
    found: dict[str, list[str]] = {}
    for item in sorted(hard):
        if item in _COMPUTE:
            kind, what = _COMPUTE[item]
            names = [
                c["name"]
                for c in pod["spec"]["containers"]
                if what not in ((c.get("resources") or {}).get(kind) or {})
            ]
            if names:
                found[item] = names
    return found


def _resource_of(item: str) -> Resource | None:
    if item in _COMPUTE:
        return kinds.PODS
    named = item.removeprefix("count/")
    if named == item and item not in _COUNTED:
        return None
    return next((resource for resource in RESOURCES if resource.qualified == named), None)


def _format_amount(amount: Decimal, item: str) -> str:
    return format_quantity(amount, binary=item.endswith("memory"))
