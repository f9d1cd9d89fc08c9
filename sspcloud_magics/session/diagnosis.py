"""The doctor, for this process' cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.runner import examine
from sspcloud_magics.session import session

if TYPE_CHECKING:
    from sspcloud_magics.doctor.report import Report


def doctor(target: str | None = None, *, namespace: str | None = None, redacted: bool = False) -> Report:
    """Walk the way to a target or a database, and say what works, what does not, and what mends it.

    Nothing is changed: a forward and a login that are tried are closed again.

    Parameters
    ----------
    target
        A pod, a service, or a database, as for `forward` and `connect_db`; only the way to the cluster is
        walked where it is None.
    namespace
        Where it is, if `target` does not say; one's own where it is None.
    redacted
        Leave out tokens and the names of people, so that the report can be shown to anybody.

    Returns
    -------
    Report
        The findings; ``report.healthy`` says whether nothing is broken, ``report.to_json()`` is for machines.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.doctor("user-alice/postgresql-cnpg-951239").healthy  # doctest: +SKIP
    True
    """
    report = examine(DoctorContext(session.current_cluster, session.manager, target, namespace, os.environ))
    return report.redact() if redacted else report
