"""The owner's commands, typed or clicked: each of them meets a scene with attacks in place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.cluster.api.resources import JOBS, ROLE_BINDINGS, ROLES, SECRETS
from sspcloud_magics.cluster.requests import object_writes
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.magics.sql_completion import KnownTables
from sspcloud_magics.widgets.commands import run_command
from tests.adversary.attack import Attack
from tests.adversary.stage import DATABASE, NAMESPACE, SCHEMAS, Stage

OWN_ROOM = "share_bob"
HERS = "/* hers */"
"""A comment that marks the owner's own statements in the server's log."""


@dataclass(frozen=True)
class Scene:
    """Attacks that are in place together: a single one, or all with the same needs.

    Parameters
    ----------
    stage, attacks
        Where, and which.
    """

    stage: Stage
    attacks: Sequence[Attack]

    @property
    def needs(self) -> str:
        """The privileges that bob needs for them."""
        return self.attacks[0].needs

    @property
    def room(self) -> str:
        """The schema in which he creates."""
        return "public" if self.stage.everybody_creates or self.needs == "shared" else OWN_ROOM

    def his(self) -> Iterator[str]:
        """Yield the names of his tables and views in SQL."""
        for attack in self.attacks:
            for name in attack.his:
                yield sql.Identifier(self.room, name).as_string(None)


def share(scene: Scene, **more: Any) -> Any:
    """Share with bob, as much as his attacks need."""
    options: dict[str, Any] = {"read_write": not scene.stage.everybody_creates, "schemas": SCHEMAS}
    if scene.needs == "shared" and not scene.stage.everybody_creates:
        options["create"] = True
    return ssp.share_db(DATABASE, "bob", **options | more)


def share_with_reader() -> None:
    """Share one schema with carol, who only reads."""
    ssp.share_db(DATABASE, "carol", schemas=["public"])


def _dry_run(scene: Scene) -> None:
    plan = share(scene, dry_run=True)
    _draw(plan)
    plan.sql(), plan.yaml()


def _draw(value: Any) -> None:
    """Render a value as a notebook does; a name or a comment of his must not become markup."""
    repr(value)
    bundle = value._repr_mimebundle_() if hasattr(value, "_repr_mimebundle_") else {}
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    assert "<img" not in html + bundle.get("text/html", "")


def _click(order: str, **more: Any) -> Any:
    return run_command({"do": order, "database": DATABASE, **more})


def _preview(scene: Scene) -> None:
    _click("preview_share", colleagues="bob", write=True, schemas=list(SCHEMAS), duration="7d")


def _tables(scene: Scene) -> None:
    _draw(ssp.tables())
    ssp.tables("public.*")


def _describe(scene: Scene) -> None:
    for name in ("menages", "enquete.paies", "riches", *scene.his()):
        _draw(ssp.describe_table(name))


def _completion(scene: Scene) -> None:
    known = KnownTables()
    known.refresh_soon()
    known.wait()
    names = known.names()
    assert names is not None
    assert ("public", "menages") in names.relations


def _panel_columns(scene: Scene) -> None:
    _click("describe_table", schema="public", table="menages")
    for attack in scene.attacks:
        for name in attack.his:
            _click("describe_table", schema=scene.room, table=name)


def _query(scene: Scene) -> None:
    """Query the owner's own tables."""
    assert len(ssp.query_db(f"SELECT {HERS} * FROM menages")) >= 4
    ssp.query_db(f"SELECT {HERS} id, revenu, nom FROM public.menages WHERE id > :n", {"n": 1}, limit=2)


def _query_his(scene: Scene) -> None:
    """Query his tables: by the owner's own statement, which may run no more code than by psycopg alone."""
    for name in scene.his():
        with contextlib.suppress(SspcloudError):
            ssp.query_db(f"SELECT {HERS} * FROM {name}")
        with contextlib.suppress(SspcloudError):
            ssp.query_db(f"SELECT {HERS} * FROM {name}", limit=1)
        with contextlib.suppress(SspcloudError):
            list(ssp.query_db(f"SELECT {HERS} * FROM {name}", chunks=1))


def psycopg_alone(scene: Scene) -> None:
    """Do what `_query_his` does, by psycopg alone."""
    with scene.stage.as_owner() as owner:
        for name in scene.his():
            with contextlib.suppress(psycopg.Error):
                owner.execute(f"SELECT {HERS} * FROM {name}").fetchall()


def _export(scene: Scene) -> None:
    for name in scene.his():
        with contextlib.suppress(SspcloudError), TemporaryDirectory() as folder:
            ssp.query_db(f"SELECT {HERS} * FROM {name}", to=Path(folder) / "rows.csv")
        with contextlib.suppress(SspcloudError):
            ssp.query_db(f"SELECT {HERS} * FROM {name}", as_="arrow")


def _load(scene: Scene) -> None:
    frame = pd.DataFrame({"revenu": [1.5, 2.5], "nom": ["x", "y"]})
    ssp.load_table(frame, "resultats")
    ssp.load_table(frame, "resultats", "replace")
    ssp.load_table(frame, "menages", "append")
    ssp.query_db(f"DROP {HERS} TABLE resultats")
    ssp.query_db(f"DELETE {HERS} FROM menages WHERE nom IN ('x', 'y')")


Command = Callable[[Scene], Any]

READING: dict[str, Command] = {
    "shareable_schemas": lambda _scene: ssp.shareable_schemas(DATABASE),
    "share_db --dry-run": _dry_run,
    "panel: schemas": lambda _scene: _click("list_schemas"),
    "panel: preview": _preview,
    "tables": _tables,
    "describe_table": _describe,
    "completion": _completion,
    "panel: tables": lambda _scene: _click("list_tables"),
    "panel: columns": _panel_columns,
    "query_db": _query,
    "query_db of his": _query_his,
    "query_db of his --to": _export,
    "load_table": _load,
}
"""Commands that change no privileges."""

SHARING: dict[str, Command] = {
    "shares": lambda _scene: _draw(ssp.shares()),
    "panel: sessions": lambda _scene: _click("list_sessions"),
    "share_db again": share,
    "share_db with another again": lambda _scene: share_with_reader(),
}
"""Commands after which no role has privileges beyond a share: excess ones are revoked, by lists too."""

ENDING: dict[str, Command] = {
    "share_db narrowed": lambda _scene: ssp.share_db(DATABASE, "bob", schemas=["public"]),
    "unshare": lambda _scene: ssp.unshare(DATABASE, "bob"),
    "unshare --all": lambda _scene: ssp.unshare(DATABASE, all_colleagues=True),
    "unshare --ended": lambda _scene: _end_and_tidy(),
}
"""Commands after which his code runs only as himself, and his data belong to the heir."""


def _end_and_tidy() -> None:
    """Let the share expire in the cluster, and remove its remains."""
    cluster = session.current_cluster()
    for resource in (ROLE_BINDINGS, ROLES, SECRETS, JOBS):
        object_writes.delete_object(cluster, resource, f"{DATABASE}-share-bob", NAMESPACE)
    ssp.unshare(ended=True)
