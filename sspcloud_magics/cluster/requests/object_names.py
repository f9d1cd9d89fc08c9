"""Objects as users name them: a kind and a name, or ``pod/NAME``, with the nearest name for one that does not exist."""

from __future__ import annotations

from typing import Any

from sspcloud_magics.cluster.api.api_errors import NotFound
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.kinds import Kind, find_kind
from sspcloud_magics.cluster.requests.object_reads import get_object, list_metadata
from sspcloud_magics.errors import SspcloudError, UsageProblem
from sspcloud_magics.i18n import _, _n, format_list
from sspcloud_magics.spelling import nearest

# Names in an error.
_MOST_NAMED = 12


def find_object(cluster: Cluster, kind: str, name: str | None) -> tuple[Kind, str]:
    """Return the kind and the name that two words mean, or one of the form ``pod/NAME``."""
    word, slash, rest = kind.partition("/")
    if slash and name:
        raise UsageProblem(
            _("You named two objects: {one} and {other}.", one=kind, other=name), hint=f"{word} {rest}"
        )
    return find_kind(cluster, word or kind), name or rest


def read_object(cluster: Cluster, kind: Kind, name: str, namespace: str | None) -> dict[str, Any]:
    """Return an object; if it does not exist, the error names the nearest."""
    try:
        return get_object(cluster, kind.resource, name, namespace)
    except NotFound as error:
        raise suggest_name(error, cluster, kind, name, namespace) from None


def suggest_name(error: NotFound, cluster: Cluster, kind: Kind, name: str, namespace: str | None) -> NotFound:
    """Return the error with the names that exist, and the nearest."""
    try:
        names = [metadata["name"] for metadata in list_metadata(cluster, kind.resource, namespace)]
    except (SspcloudError, NotFound):
        return error
    near = nearest(name, names) or next((each for each in names if each.startswith(name)), "")
    where = f" -n {namespace}" if namespace else ""
    return NotFound(
        error.what,
        why=name_some(names) if names else error.why,
        hint=_("did you mean {name}?", name=near)
        if near
        else f"%k8s_get {kind.resource.plural}{where}",  # not translated: a command
    )


def name_some(names: list[str]) -> str:
    """Name the objects that exist, in a sentence."""
    more = len(names) - _MOST_NAMED
    shown = names[:_MOST_NAMED] + ([_n("{count} more", "{count} more", more)] if more > 0 else [])
    return _("There are: {names}.", names=format_list(shown))
