"""Run the checks in order; a check that fails skips only those that depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sspcloud_magics.doctor import cluster_checks, known_issues, permission_checks, target_checks
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Finding, make_failed, not_needed
from sspcloud_magics.doctor.report import Report
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.i18n import N_, _


@dataclass(frozen=True, slots=True)
class Check:
    """A check of the doctor."""

    name: str  # its name, for the finding if the check fails or is skipped
    run: Callable[[DoctorContext], Iterator[Finding]]  # yields the findings
    # Returns a sentence about what is missing to run it; empty if nothing is.
    missing: Callable[[DoctorContext], str] = lambda _unused: ""


def _needs_cluster(context: DoctorContext) -> str:
    return "" if context.cluster else _("Skipped: no configuration was found.")


def _needs_server(context: DoctorContext) -> str:
    return "" if context.server_answers else _("Skipped: the server does not answer.")


def _needs_identity(context: DoctorContext) -> str:
    return _needs_server(context) or ("" if context.identity else _("Skipped: the server does not know you."))


def _needs_target_name(context: DoctorContext) -> str:
    return _needs_identity(context) or (
        "" if context.wanted else _("Skipped: no target was named: %k8s_doctor TARGET.")
    )


def _needs_target(context: DoctorContext) -> str:
    return _needs_target_name(context) or ("" if context.target else _("Skipped: the target was not found."))


def _needs_database(context: DoctorContext) -> str:
    return _needs_target(context) or ("" if context.database else _("Skipped: the target is not a database."))


CHECKS = (
    Check(N_("Configuration"), cluster_checks.configuration),
    Check(N_("Server"), cluster_checks.server, _needs_cluster),
    Check(N_("Credentials"), cluster_checks.credentials, _needs_cluster),
    Check(N_("Identity"), cluster_checks.identity, _needs_server),
    Check(N_("Permissions"), permission_checks.permissions, _needs_identity),
    Check(N_("Quota"), permission_checks.quota, _needs_identity),
    Check(N_("Target"), target_checks.target, _needs_target_name),
    Check(N_("Tunnel"), target_checks.tunnel, _needs_target),
    Check(N_("Database"), target_checks.database, _needs_database),
    Check(N_("Environment"), known_issues.environment, _needs_cluster),
    Check(N_("Roles"), known_issues.bindings, _needs_identity),
    Check(N_("Network"), known_issues.database, _needs_database),
    Check(N_("Log"), cluster_checks.log),
)
"""The checks along the route to the target, then those for known issues."""


_IMPERSONAL = frozenset({"admin", "app", "default", "postgres", "root", "user"})
"""Names of no particular person, and words of the report, which a redacted report keeps."""


def examine(context: DoctorContext) -> Report:
    """Run the checks and return the report; a forward that they opened is closed."""
    findings: list[Finding] = []
    try:
        for check in CHECKS:
            missing = check.missing(context)
            if missing:
                findings.append(not_needed(check.name, missing))
                continue
            try:
                findings.extend(check.run(context))
            except SspcloudError as error:
                findings.append(make_failed(check.name, error))
    finally:
        if context.lease is not None:
            context.lease.release()
    return Report(tuple(findings), tuple(sorted(context.personal - _IMPERSONAL)))
