"""Commands for shares of databases and services: preview, create, revoke, and count the sessions of colleagues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sspcloud_magics import session
from sspcloud_magics.widgets.command_args import Command, names, number, text, words
from sspcloud_magics.widgets.protocol import Note, OpenSessions, Preview, ServicePreview, ShareResult
from sspcloud_magics.widgets.snapshots import LONGEST_DOCUMENT

if TYPE_CHECKING:
    from sspcloud_magics.sharing.mariadb import MariadbPlan
    from sspcloud_magics.sharing.plan import SharePlan
    from sspcloud_magics.sharing.rendering import ShareDisplay


def list_schemas(command: Command) -> list[str]:
    """Return the schemas of your database that you can share."""
    return session.shareable_schemas(text(command, "database"))


def preview_share(command: Command) -> Preview:
    """Return the preview of a share, without creating anything."""
    plan: SharePlan | MariadbPlan = session.preview_share(**_share_arguments(command))
    return {
        "colleagues": [share.colleague.name for share in plan.shares],
        "read_write": plan.shares[0].privileges.read_write,
        "schemas": list(plan.shares[0].privileges.schemas),
        "every": list(plan.schemas),
        "until": int(plan.shares[0].until.timestamp()),
        "notes": _notes(plan.notes),
        "sql": plan.sql()[:LONGEST_DOCUMENT],
        "yaml": plan.yaml()[:LONGEST_DOCUMENT],
    }


def share(command: Command) -> ShareResult:
    """Share a database, and return the line to send to the colleagues."""
    return _describe_result(session.share_db(**_share_arguments(command)))


def preview_service_share(command: Command) -> ServicePreview:
    """Return the preview of a share of a service, without creating anything."""
    plan = session.share(**_service_arguments(command), dry_run=True)
    return {
        "granted": plan.granted,
        "colleagues": [share.colleague.name for share in plan.shares],
        "until": int(plan.shares[0].until.timestamp()),
        "notes": _notes(plan.notes),
        "yaml": plan.yaml()[:LONGEST_DOCUMENT],
    }


def share_service(command: Command) -> ShareResult:
    """Share a service, and return the line to send to the colleagues."""
    return _describe_result(session.share(**_service_arguments(command)))


def _describe_result(result: ShareDisplay) -> ShareResult:
    return {"granted": result.granted, "line": result.line, "notes": _notes(result.notes)}


def _notes(notes: Iterable[str]) -> list[Note]:
    from sspcloud_magics.sharing.rendering import Risk, sort_notes  # noqa: PLC0415 - at first use

    return [{"text": str(note), "is_danger": isinstance(note, Risk)} for note in sort_notes(notes)]


def _share_arguments(command: Command) -> dict[str, Any]:
    return {
        "name": text(command, "database"),
        "colleagues": words(command, "colleagues"),
        "read_write": command.get("write") is True,
        "schemas": names(command, "schemas"),
        "duration": text(command, "duration"),
    }


def _service_arguments(command: Command) -> dict[str, Any]:
    return {
        "target": text(command, "service"),
        "port": number(command, "port"),
        "colleagues": words(command, "colleagues"),
        "via": text(command, "via"),
        "duration": text(command, "duration"),
    }


def revoke(command: Command) -> None:
    """Revoke a share."""
    session.unshare(text(command, "database"), text(command, "colleague"))


def revoke_all(command: Command) -> None:
    """Revoke all shares of a database or a service."""
    session.unshare(text(command, "database"), all_colleagues=True)


def list_sessions(_command: Command) -> dict[str, OpenSessions]:
    """Return the number of open sessions of each colleague, and the start of the first, by database and colleague."""
    import pandas as pd  # noqa: PLC0415 - at first use

    listed = session.shares()
    return {
        f"{database}/{colleague}": (int(count), None if pd.isna(since) else int(since.timestamp()))
        for database, colleague, count, since in zip(
            *(listed[column] for column in ("database", "colleague", "sessions", "since")), strict=True
        )
        if not pd.isna(count)
    }
