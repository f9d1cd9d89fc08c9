"""Going the way, step by step: a step that breaks ends what depends on it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sspcloud_magics.doctor import arriving, reaching, rights, traps
from sspcloud_magics.doctor.findings import Finding, failed, not_needed
from sspcloud_magics.doctor.patient import Patient
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
    look: Callable[[Patient], Iterator[Finding]]
    needs: Callable[[Patient], str] = lambda _: ""


def _a_cluster(patient: Patient) -> str:
    return "" if patient.cluster else "no configuration was found"


def _a_server(patient: Patient) -> str:
    return "" if patient.server_answers else "the server does not answer"


def _an_identity(patient: Patient) -> str:
    return _a_server(patient) or ("" if patient.identity else "the server does not know you")


def _something_wanted(patient: Patient) -> str:
    return _an_identity(patient) or ("" if patient.wanted else "no target was named: %k8s_doctor TARGET")


def _a_target(patient: Patient) -> str:
    return _something_wanted(patient) or ("" if patient.target else "the target was not found")


def _a_database(patient: Patient) -> str:
    return _a_target(patient) or ("" if patient.database else "the target is no database")


WAY = (
    Step("Configuration", reaching.configuration),
    Step("Server", reaching.server, _a_cluster),
    Step("Credentials", reaching.credentials, _a_cluster),
    Step("Identity", reaching.identity, _a_server),
    Step("Rights", rights.rights, _an_identity),
    Step("Quota", rights.quota, _an_identity),
    Step("Target", arriving.target, _something_wanted),
    Step("Tunnel", arriving.tunnel, _a_target),
    Step("Database", arriving.database, _a_database),
    Step("Environment", traps.environment, _a_cluster),
    Step("Roles", traps.bindings, _an_identity),
    Step("Network", traps.database, _a_database),
    Step("Log", reaching.log),
)
"""The way that a byte would go, then the traps beside it."""


_NOBODY = frozenset({"admin", "app", "default", "postgres", "root", "user"})
"""Names that are nobody's, and words of the report."""


def examine(patient: Patient) -> Report:
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
                findings.append(failed(step.name, error))
    finally:
        if patient.lease is not None:
            patient.lease.release()
    return Report(tuple(findings), tuple(sorted(patient.personal - _NOBODY)))
