"""Going the way, step by step: a step that breaks ends what depends on it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sspcloud_magics.doctor import cluster_checks, known_issues, permission_checks, target_checks
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Finding, make_failed, not_needed
from sspcloud_magics.doctor.report import Report
from sspcloud_magics.errors import SspcloudError


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way.

    Parameters
    ----------
    name
        What is looked at.
    look
        Looks.
    needs
        Says what is missing for it; empty where it can be taken.
    """

    name: str
    look: Callable[[DoctorContext], Iterator[Finding]]
    needs: Callable[[DoctorContext], str] = lambda _: ""


def _a_cluster(patient: DoctorContext) -> str:
    return "" if patient.cluster else "no configuration was found"


def _a_server(patient: DoctorContext) -> str:
    return "" if patient.server_answers else "the server does not answer"


def _an_identity(patient: DoctorContext) -> str:
    return _a_server(patient) or ("" if patient.identity else "the server does not know you")


def _something_wanted(patient: DoctorContext) -> str:
    return _an_identity(patient) or ("" if patient.wanted else "no target was named: %k8s_doctor TARGET")


def _a_target(patient: DoctorContext) -> str:
    return _something_wanted(patient) or ("" if patient.target else "the target was not found")


def _a_database(patient: DoctorContext) -> str:
    return _a_target(patient) or ("" if patient.database else "the target is no database")


WAY = (
    Step("Configuration", cluster_checks.configuration),
    Step("Server", cluster_checks.server, _a_cluster),
    Step("Credentials", cluster_checks.credentials, _a_cluster),
    Step("Identity", cluster_checks.identity, _a_server),
    Step("Rights", permission_checks.rights, _an_identity),
    Step("Quota", permission_checks.quota, _an_identity),
    Step("Target", target_checks.target, _something_wanted),
    Step("Tunnel", target_checks.tunnel, _a_target),
    Step("Database", target_checks.database, _a_database),
    Step("Environment", known_issues.environment, _a_cluster),
    Step("Roles", known_issues.bindings, _an_identity),
    Step("Network", known_issues.database, _a_database),
    Step("Log", cluster_checks.log),
)
"""The way that a byte would go, then the traps beside it."""


_NOBODY = frozenset({"admin", "app", "default", "postgres", "root", "user"})
"""Names that are nobody's, and words of the report."""


def examine(patient: DoctorContext) -> Report:
    """Go the way and return what was found; what was opened for it is closed again."""
    findings: list[Finding] = []
    try:
        for step in WAY:
            missing = step.needs(patient)
            if missing:
                findings.append(not_needed(step.name, f"Not looked at: {missing}."))
                continue
            try:
                findings.extend(step.look(patient))
            except SspcloudError as error:
                findings.append(make_failed(step.name, error))
    finally:
        if patient.lease is not None:
            patient.lease.release()
    return Report(tuple(findings), tuple(sorted(patient.personal - _NOBODY)))
