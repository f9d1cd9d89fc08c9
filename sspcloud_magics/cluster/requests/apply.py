"""Apply manifests by server-side apply, under the field manager and with the words of kubectl.

The manager is ``kubectl``, so that a cell and ``kubectl apply --server-side`` change the same object without conflicts. An
object of the older ``kubectl apply`` is taken over as kubectl does it: the fields that it owned become those of the new
manager, or a field that the manifest no longer has would stay for ever.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/; k8s.io/client-go/util/csaupgrade.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sspcloud_magics.cluster.api.api_errors import Conflict, FormatNotAccepted, Invalid, NotFound
from sspcloud_magics.cluster.api.resources import Attempt
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.kinds import Kind
from sspcloud_magics.cluster.requests.manifests import Manifest
from sspcloud_magics.cluster.requests.object_reads import get_object
from sspcloud_magics.cluster.requests.object_text import LAST_APPLIED, compare, is_same
from sspcloud_magics.errors import Forbidden, ServerError, UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.secret import without_frames

MANAGER = "kubectl"
_CLIENT_SIDE = "kubectl-client-side-apply"
_KEEPER = "kubectl-last-applied"
"""kubectl's manager of the annotation that an object taken over still has."""

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
# A field in a message of the server: `spec.containers[0].image: Required value`, `.colour: field not declared in schema`.
_FIELD = re.compile(
    r"""unknown field "([^"]+)"|(?:is invalid: \[?|\): |, |^(?:«\s)?)(\.?[a-z]\w*(?:\[[^\]]*\]|\.\w+)*): """
)


@dataclass(frozen=True, slots=True)
class AppliedObject:
    """The result for one object of a text."""

    ref: str  # the object in kubectl's words, such as ``pod/pg-proxy``
    outcome: str  # ``created``, ``configured`` or ``unchanged``
    # The object; the namespace is None for a kind without namespaces.
    kind: Kind
    name: str
    namespace: str | None
    difference: tuple[str, ...] = ()  # the changes, as the lines of a unified difference
    warnings: tuple[str, ...] = ()  # the server's warnings
    dry_run: bool = False  # whether nothing was stored

    def __str__(self) -> str:
        suffix = " (server dry run)" if self.dry_run else ""  # not translated: kubectl's words
        return f"{self.ref} {self.outcome}{suffix}"


def choose_namespace(cluster: Cluster, kind: Kind, manifest: Manifest, namespace: str | None) -> str | None:
    """Return the namespace of an object: its own, or the one to fill in; None for a kind without namespaces.

    Raises
    ------
    UsageProblem
        If the manifest names another namespace than the caller.
    """
    if not kind.resource.namespaced:
        return None
    own = manifest.body["metadata"].get("namespace")
    if own and namespace and own != namespace:
        raise UsageProblem(
            _(
                "The document at line {line} names the namespace {own}, and the line names {namespace}.",
                line=manifest.line,
                own=own,
                namespace=namespace,
            ),
            hint=_("leave out -n, or metadata.namespace"),
        )
    return str(own or namespace or cluster.namespace)


@without_frames
def apply_manifest(
    cluster: Cluster,
    kind: Kind,
    manifest: Manifest,
    namespace: str | None,
    *,
    dry_run: bool = False,
    force: bool = False,
) -> AppliedObject:
    """Apply one object, and return what changed.

    Parameters
    ----------
    cluster, kind, manifest, namespace
        The object; the namespace is that of `choose_namespace`.
    dry_run
        Let the server check everything and store nothing.
    force
        Take over fields that other managers own.

    Raises
    ------
    Forbidden
        If the permission is missing, or a rule of the cluster refuses the object.
    Conflict
        If other managers own fields that would change; names them.
    Invalid
        If the server refuses a field; names it and its line.
    ClusterError
        If the request fails.
    """
    own = namespace in (None, cluster.namespace)
    body = {**manifest.body, "metadata": {**manifest.body["metadata"]}}
    if namespace is not None:
        body["metadata"]["namespace"] = namespace
    try:
        before = get_object(cluster, kind.resource, manifest.name, namespace)
    except NotFound:
        before = None
    except Forbidden:  # the server decides about writing
        before = {}
    query = {"fieldManager": MANAGER, "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
    if force:
        query["force"] = "true"
    attempt = Attempt("patch", kind.resource, namespace, manifest.name)
    warnings: list[str] = []

    def send() -> dict[str, Any]:
        warnings.clear()
        return cluster.api.ask(
            attempt, query=query, body=body, own=own, content_type=_APPLY, warnings=warnings
        )

    try:
        after = send()
        if not dry_run and _take_over(cluster, kind, after, namespace):
            after = send()  # removes the fields that only the client-side apply had
    except FormatNotAccepted:
        after = _merge(cluster, kind, body, before, query)
    except (NotFound, ServerError) as error:
        # Some versions answer 500 for a field that does not exist.
        explained = isinstance(error, Conflict | Invalid | NotFound) or "typed patch object" in error.why
        raise _explain(error, kind, manifest) if explained else error from None
    outcome = "created" if before is None else "configured"
    if before and is_same(before, after):
        outcome = "unchanged"
    return AppliedObject(
        kind.ref(manifest.name),
        outcome,
        kind,
        manifest.name,
        namespace,
        tuple(compare(before, after)),
        tuple(warnings),
        dry_run,
    )


def _take_over(cluster: Cluster, kind: Kind, item: Mapping[str, Any], namespace: str | None) -> bool:
    """Make the fields of the client-side ``kubectl apply`` those of server-side apply; return whether there were any."""
    metadata = item["metadata"]
    has_annotation = LAST_APPLIED in (metadata.get("annotations") or {})
    managed = upgrade(metadata.get("managedFields") or [], has_annotation=has_annotation)
    if managed is None:
        return False
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": managed},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata.get("resourceVersion")},
    ]
    attempt = Attempt("patch", kind.resource, namespace, metadata["name"])
    cluster.api.ask(attempt, body=patch, content_type=_JSON_PATCH, own=namespace in (None, cluster.namespace))
    return True


def upgrade(entries: list[dict[str, Any]], *, has_annotation: bool) -> list[dict[str, Any]] | None:
    """Return managed fields with those of the client-side apply under `MANAGER`; None if nothing has to change.

    Examples
    --------
    >>> old = {"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}}
    >>> upgrade([old], has_annotation=False)
    [{'manager': 'kubectl', 'operation': 'Apply', 'fieldsV1': {'f:data': {'f:a': {}}}}]
    >>> upgrade([{**old, "manager": "kubectl-edit"}], has_annotation=False)
    """

    def belongs(entry: Mapping[str, Any], manager: str, operation: str) -> bool:
        return (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "") == (
            manager,
            operation,
            "",
        )

    old = [entry for entry in entries if belongs(entry, _CLIENT_SIDE, "Update")]
    if not old:
        return None
    ours = [entry for entry in entries if belongs(entry, MANAGER, "Apply")]
    fields: dict[str, Any] = {}
    for entry in [*ours, *old]:
        fields = _unite(fields, entry.get("fieldsV1") or {})
    annotation: dict[str, Any] = {"f:metadata": {"f:annotations": {f"f:{LAST_APPLIED}": {}}}}
    others = [entry for entry in entries if entry not in old and entry not in ours]
    merged = [
        {
            **(ours or old)[0],
            "manager": MANAGER,
            "operation": "Apply",
            "fieldsV1": _subtract(fields, annotation),
        }
    ]
    if has_annotation and not any(belongs(entry, _KEEPER, "Apply") for entry in others):
        merged.append({**old[0], "manager": _KEEPER, "operation": "Apply", "fieldsV1": annotation})
    return others + merged


def _unite(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, **{key: _unite(one.get(key) or {}, value) for key, value in other.items()}}


def _subtract(fields: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    left = {}
    for key, value in fields.items():
        if key not in part:
            left[key] = value
        elif part[key] and (rest := _subtract(value, part[key])) not in ({}, {".": {}}):
            left[key] = rest
    return left


def _merge(
    cluster: Cluster,
    kind: Kind,
    body: dict[str, Any],
    before: Mapping[str, Any] | None,
    query: dict[str, str],
) -> dict[str, Any]:
    """Create or merge an object, for a server without server-side apply (before Kubernetes 1.22)."""
    metadata = body["metadata"]
    namespace, own = metadata.get("namespace"), metadata.get("namespace") in (None, cluster.namespace)
    query = {key: value for key, value in query.items() if key == "dryRun"}
    if before is None:
        return cluster.api.ask(Attempt("create", kind.resource, namespace), query=query, body=body, own=own)
    attempt = Attempt("patch", kind.resource, namespace, metadata["name"])
    return cluster.api.ask(attempt, query=query, body=body, own=own, content_type=_MERGE)


def _explain(error: ServerError | NotFound, kind: Kind, manifest: Manifest) -> Exception:
    """Return a refusal of the server with the object, the field and its line."""
    ref = kind.ref(manifest.name)
    if isinstance(error, Conflict) and "conflict" in error.why:
        return Conflict(
            _("Another tool owns fields of {ref} that the text would change (409).", ref=ref),
            why=error.why,
            hint=_(
                "leave those fields out of the text\n%%k8s_apply --force-conflicts   takes them over: "
                "the other tool may set them again"
            ),
        )
    if "pod updates may not change fields" in error.why or "field is immutable" in error.why:
        return Invalid(
            _("{ref} exists, and the server does not allow this change.", ref=ref),
            why=error.why,
            hint=_(
                "delete it and apply the text again: %k8s_delete {kind} {name}",
                kind=kind.singular,
                name=manifest.name,
            ),
        )
    fields = [quoted or field for quoted, field in _FIELD.findall(error.why)]
    lines = [line for field in fields if (line := manifest.find_line(field))]
    what = _("The server refuses {ref}, the document at line {line}.", ref=ref, line=manifest.line)
    if lines:
        what = _("The server refuses {ref}, line {line}.", ref=ref, line=lines[0])
    return type(error)(what, why=error.why, hint=error.hint)
