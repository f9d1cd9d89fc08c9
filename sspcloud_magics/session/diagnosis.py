"""The doctor for the cluster of this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.runner import examine
from sspcloud_magics.session import session

if TYPE_CHECKING:
    from sspcloud_magics.doctor.report import Report


def doctor(target: str | None = None, *, namespace: str | None = None, redacted: bool = False) -> Report:
    """Check the route to a target or a database; report what works, what is broken, and how to repair it.

    Nothing changes: the forward and the login of a check are closed again.

    Parameters
    ----------
    target
        A pod, a service, or a database, as for `forward` and `connect_db`; if None, only the route to the
        cluster is checked.
    namespace
        The target's namespace, if `target` does not name it; yours if None.
    redacted
        Remove tokens and the names of people, so that you can publish the report.

    Returns
    -------
    Report
        The findings; ``report.healthy`` is True if nothing is broken, ``report.to_json()`` is for machines.

    Examples
    --------
    >>> import sspcloud_magics as ssp
    >>> ssp.doctor("user-alice/postgresql-cnpg-951239").healthy  # doctest: +SKIP
    True
    """
    report = examine(DoctorContext(session.current_cluster, session.manager, target, namespace, os.environ))
    return report.redact() if redacted else report
