"""Objects of the cluster in kubectl's everyday: get, describe, events, delete; and the official client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sspcloud_magics.cluster.api.api_errors import NotFound
from sspcloud_magics.cluster.api.resources import ALL_NAMESPACES
from sspcloud_magics.cluster.requests import removal as removals
from sspcloud_magics.cluster.requests.kinds import list_kinds
from sspcloud_magics.cluster.requests.object_names import find_object, read_object, suggest_name
from sspcloud_magics.cluster.requests.object_reads import list_objects
from sspcloud_magics.cluster.requests.object_text import Text, hide_values, to_yaml
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.session import session

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.cluster.requests.official_client import KubernetesClient
    from sspcloud_magics.cluster.workloads.events import Description

Progress = Callable[[str], None]


def get(
    kind: str,
    name: str | None = None,
    *,
    namespace: str | None = None,
    all_namespaces: bool = False,
    labels: str = "",
    wide: bool = False,
) -> pd.DataFrame:
    """List objects of any kind, with the columns of ``kubectl get``.

    Parameters
    ----------
    kind
        A kind as in kubectl: ``pods``, ``deploy``, ``clusters.postgresql.cnpg.io``; ``kinds`` lists the kinds.
    name
        One object.
    namespace, all_namespaces
        The namespace, yours if None; or all of them, if you may list them.
    labels
        A selector of labels, such as ``app=x``.
    wide
        Display the further columns of ``-o wide``; the table always has them.

    Returns
    -------
    DataFrame
        One row per object; `sspcloud_magics.cluster.workloads.object_table` documents the columns.

    Raises
    ------
    TargetNotFound
        If the server does not know the kind, or the object does not exist.
    Forbidden
        If the permission is missing.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.get("deploy", namespace="user-alice")  # doctest: +SKIP
    """
    from sspcloud_magics.cluster.workloads.object_table import kind_table, read_table  # noqa: PLC0415 - imports pandas

    cluster = session.current_cluster(namespace)
    if kind == "kinds":
        return kind_table(list_kinds(cluster, fresh=0))
    found, name = find_object(cluster, kind, name)
    scope = ALL_NAMESPACES if all_namespaces else namespace
    try:
        return read_table(cluster, found, scope, name=name, label_selector=labels, wide=wide)
    except NotFound as error:
        raise suggest_name(error, cluster, found, name, namespace) from None


def get_yaml(kind: str, name: str | None = None, *, namespace: str | None = None, labels: str = "") -> Text:
    """Return objects as YAML, without values that may be secret.

    Hidden are the values of Secrets, of variables with names such as ``DB_PASSWORD``, and passwords in URLs.

    Parameters
    ----------
    kind, name, namespace, labels
        As for `get`.

    Returns
    -------
    Text
        A string, which a notebook displays as it is; several objects are several documents.

    Raises
    ------
    TargetNotFound, Forbidden
        As for `get`.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.get_yaml("deploy", "mon-api")  # doctest: +SKIP
    """
    cluster = session.current_cluster(namespace)
    found, name = find_object(cluster, kind, name)
    if name:
        items = [read_object(cluster, found, name, namespace)]
    else:
        items = list_objects(cluster, found.resource, namespace, label_selector=labels)
    # The items of a list lack both fields.
    head = {"apiVersion": found.api_version, "kind": found.kind}
    return Text("---\n".join(to_yaml(hide_values({**head, **item})) for item in items).rstrip())


def describe(kind: str, name: str | None = None, *, namespace: str | None = None) -> Description:
    """Return the conditions and the events of an object, in the order of time.

    Parameters
    ----------
    kind, name, namespace
        The object, as for `get`; ``pod/NAME`` in one word too.

    Returns
    -------
    Description
        Has ``conditions`` and ``events``, which are DataFrames. For a pod, the conditions include its containers' states.

    Raises
    ------
    TargetNotFound, Forbidden
        As for `get`.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.describe("deploy", "mon-api").events  # doctest: +SKIP
    """
    from sspcloud_magics.cluster.workloads.events import describe_object  # noqa: PLC0415 - imports pandas

    cluster = session.current_cluster(namespace)
    found, name = find_object(cluster, kind, name)
    if not name:
        raise UsageProblem(
            _("Name the object to describe."),
            hint=f"%k8s_describe {found.singular} NAME\n%k8s_get {found.singular}",  # not translated: a command
        )
    return describe_object(cluster, found, read_object(cluster, found, name, namespace))


def events(kind: str | None = None, name: str | None = None, *, namespace: str | None = None) -> pd.DataFrame:
    """List the events of an object or of a namespace, the oldest first.

    Parameters
    ----------
    kind, name
        The object, as for `describe`; all of them if None.
    namespace
        The namespace; yours if None.

    Returns
    -------
    DataFrame
        One row per event: ``time``, ``type``, ``reason``, ``object``, ``count``, ``message``.

    Raises
    ------
    TargetNotFound
        If the server does not know the kind.
    Forbidden
        If you may not list events there.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.events("deploy", "mon-api")  # doctest: +SKIP
    """
    from sspcloud_magics.cluster.workloads.events import read_events  # noqa: PLC0415 - imports pandas

    cluster = session.current_cluster(namespace)
    if kind is None:
        return read_events(cluster, namespace)
    found, name = find_object(cluster, kind, name)
    return read_events(cluster, namespace, kind=found.kind, name=name)


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """A deleted object.

    Parameters
    ----------
    ref, namespace
        The object in kubectl's words, and its namespace, None for a kind without namespaces.
    dependents
        The objects that the cluster deletes with it.
    gone
        Whether the server no longer has it; False if it is still ending.
    dry_run
        Whether nothing was deleted.
    """

    ref: str
    namespace: str | None
    dependents: tuple[str, ...]
    gone: bool
    dry_run: bool = False


def delete(
    kind: str,
    name: str | None = None,
    *,
    namespace: str | None = None,
    yes: bool = False,
    ask: Callable[[removals.Removal], bool] | None = None,
    dry_run: bool = False,
    wait: float = 60.0,
    progress: Progress = lambda _words: None,
) -> DeleteResult:
    """Delete an object, and wait until it is gone.

    Parameters
    ----------
    kind, name, namespace
        The object, as for `get`.
    yes
        Delete it even if it may not be yours: in another namespace, a part of a service, or created by something else.
    ask
        Called for such an object; returns whether to delete it.
    dry_run
        Let the server check the request and delete nothing.
    wait
        Seconds to wait until it is gone; a pod has 30 seconds to end.
    progress
        Called with a description of each step.

    Returns
    -------
    DeleteResult
        The object, and what goes with it.

    Raises
    ------
    UsageProblem
        If it may not be yours, and neither `yes` nor `ask` agrees.
    TargetNotFound, Forbidden
        As for `get`.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.delete("configmap", "settings")  # doctest: +SKIP
    """
    cluster = session.current_cluster(namespace)
    found, name = find_object(cluster, kind, name)
    if not name:
        raise UsageProblem(
            _("Name the object to delete."),
            hint=f"%k8s_delete {found.singular} NAME\n%k8s_get {found.singular}",  # not translated: a command
        )
    where = (namespace or cluster.namespace) if found.resource.namespaced else None
    try:
        removal = removals.plan_removal(cluster, found, name, where)
    except NotFound as error:
        raise suggest_name(error, cluster, found, name, namespace) from None
    if removal.stranger and not (yes or dry_run) and not (ask is not None and ask(removal)):
        raise UsageProblem(
            _("{ref} was not deleted.", ref=removal.ref),
            why=removal.stranger,
            hint=_("%k8s_delete … --yes   deletes it all the same"),
        )
    removals.remove(cluster, removal, dry_run=dry_run)
    gone = dry_run
    if not dry_run:
        progress(removal.ref)
        gone = removals.wait_until_gone(cluster, removal, wait)
    return DeleteResult(removal.ref, where, removal.dependents, gone, dry_run)


def kubernetes() -> KubernetesClient:
    """Return an ``ApiClient`` of the official ``kubernetes`` package, for the identity of this session.

    Requests use this session's transport: renewed tokens, proxies, limits and errors hold, and no token or certificate is
    written to a file. Use it in several threads. After a login as another user, call it again.

    Returns
    -------
    KubernetesClient
        For typed APIs, ``CoreV1Api(client)``, and for watches of them. Its method ``dynamic()`` returns a dynamic client, for
        all kinds of the server.

    Raises
    ------
    NotLoggedIn, KubeconfigInvalid
        If there is no usable configuration.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> from kubernetes.client import CoreV1Api  # doctest: +SKIP
    >>> CoreV1Api(ssp.kubernetes()).list_namespaced_pod("user-alice").items  # doctest: +SKIP
    """
    # The package takes a third of a second to import.
    from sspcloud_magics.cluster.requests.official_client import KubernetesClient  # noqa: PLC0415

    return KubernetesClient(session.current_cluster())
