"""Apply manifests: check the whole text first, then send its objects one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sspcloud_magics import platforms
from sspcloud_magics.cluster.api.api_errors import NotFound
from sspcloud_magics.cluster.requests.apply import AppliedObject, apply_manifest, choose_namespace
from sspcloud_magics.cluster.requests.kinds import Kind, find_manifest_kind
from sspcloud_magics.cluster.requests.manifests import LONGEST, Manifest, parse_manifests, refuse_placeholders
from sspcloud_magics.errors import Forbidden, SspcloudError, UsageProblem
from sspcloud_magics.i18n import _, format_bytes, format_list
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.session import session
from sspcloud_magics.user_files import decode, user_path

if TYPE_CHECKING:
    from sspcloud_magics.cluster.cluster import Cluster

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """The objects of a text after `apply`, in kubectl's words.

    Parameters
    ----------
    objects
        The objects, in the order of the text; each has ``ref``, ``outcome`` and ``difference``.
    notes
        Sentences: the server's warnings, and what an object does not do although it was applied.
    """

    objects: tuple[AppliedObject, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.objects))


def apply(
    manifest: str | Path | Mapping[str, Any],
    *,
    namespace: str | None = None,
    dry_run: bool = False,
    force_conflicts: bool = False,
    wait: bool = False,
    timeout: float = 120.0,
    progress: Progress = lambda _words: None,
) -> ApplyResult:
    """Create or change objects as ``kubectl apply --server-side`` does, under the same field manager.

    Everything is checked before anything is sent: the YAML, the kinds, and placeholders that are still in the text. The
    objects are applied in the order of the text, up to the first one that the server refuses.

    Parameters
    ----------
    manifest
        YAML or JSON text with one or several documents, a `pathlib.Path` of such a file, or one object as a dict.
    namespace
        The namespace of objects that name none; yours if None.
    dry_run
        Let the server check everything and store nothing; the result has the differences.
    force_conflicts
        Take over fields that other managers own.
    wait
        Wait until each object is ready: pods, Deployments, Jobs and whatever has such a condition.
    timeout
        The longest wait, in seconds.
    progress
        Called with a description of each step.

    Returns
    -------
    ApplyResult
        The objects, as ``created``, ``configured`` or ``unchanged``.

    Raises
    ------
    UsageProblem
        If the text is not a manifest, or placeholders are left in it.
    TargetNotFound
        If the server does not know a kind.
    Forbidden, ServerError
        If the server refuses an object.
    PodNotReady
        If an object is not ready in time, or has failed.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    >>> print(ssp.apply(settings))  # doctest: +SKIP
    configmap/settings created
    """
    manifests = parse_manifests(_read_text(manifest))
    cluster = session.current_cluster(namespace)
    refuse_placeholders(manifests, namespace or cluster.namespace)
    plan: list[tuple[Kind, Manifest, str | None]] = []
    for each in manifests:
        kind = find_manifest_kind(cluster, each.api_version, each.kind)
        plan.append((kind, each, choose_namespace(cluster, kind, each, namespace)))
    done: list[AppliedObject] = []
    notes: list[str] = []
    try:
        for kind, each, where in plan:
            progress(kind.ref(each.name))
            done.append(apply_manifest(cluster, kind, each, where, dry_run=dry_run, force=force_conflicts))
            notes += [*done[-1].warnings, *_find_notes(each)]
        if wait and not dry_run:
            _wait(cluster, done, timeout, progress)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(_describe_partial(done, plan))
        raise
    except SspcloudError as error:
        if len(done) < len(plan):
            _suggest_instead(error, plan[len(done)][1])
            if len(plan) > 1:
                error.why = "\n".join(filter(None, [error.why, _describe_partial(done, plan)]))
        raise
    return ApplyResult(tuple(done), tuple(dict.fromkeys(notes)))


def _read_text(manifest: str | Path | Mapping[str, Any]) -> str:
    if isinstance(manifest, Mapping):
        return json.dumps(manifest)
    if not isinstance(manifest, Path):
        return manifest
    path = user_path(manifest)
    try:
        size = path.stat().st_size
        if size > LONGEST:
            raise UsageProblem(
                _("{file} is too large: {size}.", file=path, size=format_bytes(size)),
                why=_("The limit is {limit}.", limit=format_bytes(LONGEST)),
                hint=_(
                    "split it into several files, or use kubectl apply --server-side -f {file}", file=path
                ),
            )
        return decode(path.read_bytes())
    except OSError as error:
        if re.match(r"https?:/", str(manifest)):
            hint = _("download it first, and read it: what it creates runs with your permissions")
        else:
            hint = _("check the path; %%k8s_apply takes the text from the cell")
        raise UsageProblem(
            _("{file} cannot be read.", file=path), why=system_reason(error), hint=hint
        ) from None
    except UnicodeDecodeError:
        raise UsageProblem(_("{file} is not a text file.", file=path), hint=_("save it as UTF-8")) from None


def _wait(cluster: Cluster, done: list[AppliedObject], timeout: float, progress: Progress) -> None:
    from sspcloud_magics.cluster.workloads.readiness import wait_until_ready  # noqa: PLC0415 - imports pandas

    for each in done:
        wait_until_ready(cluster, each.kind, each.name, each.namespace, seconds=timeout, progress=progress)


def _describe_partial(done: list[AppliedObject], plan: list[tuple[Kind, Manifest, str | None]]) -> str:
    """Say what was applied before an error or an interrupt."""
    if len(done) == len(plan):
        return _("Everything was applied: {objects}.", objects=format_list([str(each) for each in done]))
    left = format_list([kind.ref(manifest.name) for kind, manifest, _where in plan[len(done) + 1 :]])
    words = [
        _("Applied before: {objects}.", objects=format_list([str(each) for each in done]))
        if done
        else _("Nothing was applied before.")
    ]
    if left:
        words.append(_("Not sent: {objects}.", objects=left))
    return " ".join(words)


def _suggest_instead(error: SspcloudError, manifest: Manifest) -> None:
    """Replace the hint of a refusal where another command does what the manifest means."""
    is_binding = manifest.kind == "RoleBinding" and isinstance(error, NotFound)
    if is_binding or (isinstance(error, Forbidden) and "attempting to grant" in error.why):
        error.hint = _(
            "%share_db DATABASE --with NAME   gives a colleague exactly what they need to reach a database of yours, until a date"
        )


def _find_notes(manifest: Manifest) -> Iterator[str]:
    subjects = manifest.body.get("subjects") if manifest.kind == "RoleBinding" else None
    for subject in subjects if isinstance(subjects, list) else ():
        name = str(subject.get("name")) if isinstance(subject, dict) and subject.get("kind") == "User" else ""
        if platforms.current().is_namespace(name):
            yield _(
                "{name} is a namespace and not a user, so this binding grants nothing. "
                "%k8s_whoami shows the names of users.",
                name=name,
            )
