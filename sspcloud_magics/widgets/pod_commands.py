"""Commands for pods: read the end of a log, and list events."""

from __future__ import annotations

from sspcloud_magics import session
from sspcloud_magics.errors import TargetNotFound
from sspcloud_magics.i18n import _
from sspcloud_magics.widgets.command_args import Command, text
from sspcloud_magics.widgets.protocol import Event, Events, Log
from sspcloud_magics.widgets.snapshots import LONGEST_DOCUMENT, cut

LINES = 200
"""Lines of a log: enough for a traceback, and short enough to scroll through."""
MOST_EVENTS = 100


def read_log(command: Command) -> Log:
    """Return the end of a pod's log."""
    pod = text(command, "pod")
    source = session.find_log(pod)
    # `find_log` also accepts the beginning of a name, and the pod of the row may have ended.
    if source.pod != pod:
        raise TargetNotFound(_("The pod {pod} no longer exists.", pod=pod), hint="%k8s_pods")
    log = session.logs(pod, namespace=source.namespace, container=source.container, tail=LINES)
    return {"container": source.container, "text": str(log)[-LONGEST_DOCUMENT:]}


def list_events(command: Command) -> Events:
    """Return the last events of a pod, the newest first."""
    import pandas as pd  # noqa: PLC0415 - at first use

    found = session.events("pod", text(command, "pod"))
    newest = found.tail(MOST_EVENTS).iloc[::-1]
    events: list[Event] = [
        (type_, cut(reason), int(count), None if pd.isna(time) else int(time.timestamp()), message)
        for type_, reason, count, time, message in zip(
            *(newest[column] for column in ("type", "reason", "count", "time", "message")), strict=True
        )
    ]
    return {"events": events, "all": len(found)}
