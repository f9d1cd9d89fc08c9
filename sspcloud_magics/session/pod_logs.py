"""Logs of containers, and the choice of the pod and the container."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sspcloud_magics.cluster.api.api_errors import Invalid, NotFound
from sspcloud_magics.cluster.api.resources import PODS
from sspcloud_magics.cluster.requests import logs as log_lines
from sspcloud_magics.cluster.requests.kinds import Kind, find_kind
from sspcloud_magics.cluster.requests.object_names import name_some, read_object, suggest_name
from sspcloud_magics.cluster.requests.object_reads import get_object, list_objects
from sspcloud_magics.cluster.requests.object_text import Text
from sspcloud_magics.errors import AmbiguousTarget, PodNotReady, TargetNotFound, UsageProblem
from sspcloud_magics.i18n import _, format_list
from sspcloud_magics.session import session
from sspcloud_magics.spelling import nearest

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster

TAIL = 1000
"""Lines of a log by default: more make a notebook slow, and a longer log is rarely read."""


@dataclass(frozen=True, slots=True)
class LogSource:
    """The container whose log is read.

    Parameters
    ----------
    pod, namespace, container
        The container.
    others
        The other containers of the pod.
    """

    pod: str
    namespace: str
    container: str
    others: tuple[str, ...] = ()


def logs(
    pod: str,
    *,
    namespace: str | None = None,
    container: str | None = None,
    tail: int | None = TAIL,
    previous: bool = False,
) -> Text:
    """Return the log of a container.

    Parameters
    ----------
    pod
        The pod, a unique beginning of its name, or ``deploy/NAME``, ``svc/NAME`` for the newest pod of it.
    namespace
        The namespace; yours if None.
    container
        The container; the pod's first one if None.
    tail
        Only the last lines; all of them if None.
    previous
        The log before the last restart, which says why a container has crashed.

    Returns
    -------
    Text
        A string, which a notebook displays as it is. Control characters are escaped, and colours left out.

    Raises
    ------
    TargetNotFound, Forbidden
        If there is no such pod, or the permission is missing.
    PodNotReady
        If the container has no log, for example because it has not started.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> print(ssp.logs("mon-api", tail=10))  # doctest: +SKIP
    """
    source = find_log(pod, namespace=namespace, container=container)
    return Text("\n".join(_read_lines(source, tail=tail, previous=previous)))


def follow_logs(
    pod: str, *, namespace: str | None = None, container: str | None = None, tail: int | None = TAIL
) -> Iterator[str]:
    """Yield the lines of a log as they arrive, until the container ends or the iterator is closed.

    Parameters
    ----------
    pod, namespace, container, tail
        As for `logs`.

    Raises
    ------
    SspcloudError
        As for `logs`.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> lines = ssp.follow_logs("mon-api")  # doctest: +SKIP
    >>> next(lines)  # doctest: +SKIP
    >>> lines.close()  # doctest: +SKIP
    """
    source = find_log(pod, namespace=namespace, container=container)
    return _read_lines(source, tail=tail, follow=True)


def find_log(pod: str, *, namespace: str | None = None, container: str | None = None) -> LogSource:
    """Return the container that `logs` reads."""
    cluster = session.current_cluster(namespace)
    where = namespace or cluster.namespace
    item = _find_pod(cluster, pod, where)
    spec, metadata = item.get("spec") or {}, item["metadata"]
    names = [
        str(each.get("name")) for part in ("containers", "initContainers") for each in spec.get(part) or ()
    ]
    default = (metadata.get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    chosen = container or (default if default in names else next(iter(names), ""))
    if chosen not in names:
        near = nearest(chosen, names)
        raise TargetNotFound(
            _("The pod {pod} has no container {container}.", pod=metadata["name"], container=chosen),
            why=_("It has {containers}.", containers=format_list(names)),
            hint=_("did you mean {name}?", name=near)
            if near
            else f"%k8s_logs {metadata['name']} -c {names[0]}",  # not translated: a command
        )
    return LogSource(metadata["name"], where, chosen, tuple(each for each in names if each != chosen))


def _read_lines(
    source: LogSource, *, tail: int | None = None, previous: bool = False, follow: bool = False
) -> Iterator[str]:
    cluster = session.current_cluster(source.namespace)
    try:
        yield from log_lines.read_log(
            cluster,
            source.pod,
            source.namespace,
            source.container,
            tail=tail,
            previous=previous,
            follow=follow,
        )
    except Invalid as error:
        where = "" if source.namespace == cluster.namespace else f" -n {source.namespace}"
        raise PodNotReady(
            _(
                "The container {container} of {pod} has no such log.",
                container=source.container,
                pod=source.pod,
            ),
            why=error.why,
            hint=f"%k8s_describe pod {source.pod}{where}",  # not translated: a command
        ) from None


def _find_pod(cluster: Cluster, text: str, namespace: str) -> dict[str, Any]:
    kind, _slash, name = text.rpartition("/")
    if not name:
        raise UsageProblem(
            _("Name the pod, or what it belongs to."),
            hint="%k8s_logs POD\n%k8s_logs deploy/NAME\n%k8s_get pods",  # not translated: commands
        )
    if kind and find_kind(cluster, kind).resource != PODS:
        return _find_newest_pod(cluster, find_kind(cluster, kind), name, namespace)
    try:
        return get_object(cluster, PODS, name, namespace)
    except NotFound as error:
        listed = list_objects(cluster, PODS, namespace)
        begin = [item for item in listed if item["metadata"]["name"].startswith(name)]
        if len(begin) == 1:
            return begin[0]
        names = [item["metadata"]["name"] for item in begin]
        if names:
            raise AmbiguousTarget(
                _("Several pods in {namespace} begin with {name}.", namespace=namespace, name=name),
                why=name_some(names),
                hint=f"%k8s_logs {names[-1]}",  # not translated: a command
            ) from None
        raise suggest_name(error, cluster, find_kind(cluster, "pods"), name, namespace) from None


def _find_newest_pod(cluster: Cluster, kind: Kind, name: str, namespace: str) -> dict[str, Any]:
    spec = read_object(cluster, kind, name, namespace).get("spec") or {}
    selector = spec.get("selector") or {}
    labels = selector.get("matchLabels", selector) if isinstance(selector, dict) else {}
    chosen = ",".join(f"{key}={value}" for key, value in labels.items() if isinstance(value, str))
    pods = list_objects(cluster, PODS, namespace, label_selector=chosen) if chosen else []
    if not pods:
        raise PodNotReady(
            _("{ref} has no pod.", ref=kind.ref(name)),
            hint=f"%k8s_describe {kind.singular} {name} -n {namespace}",  # not translated: a command
        )
    return max(pods, key=lambda item: str(item["metadata"].get("creationTimestamp")))
