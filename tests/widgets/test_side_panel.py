"""What the kernel tells JupyterLab's plugin."""

from __future__ import annotations

from sspcloud_magics import session
from sspcloud_magics.widgets import side_panel
from sspcloud_magics.widgets.controller import Controller
from tests.support.database import DATABASE_PATH as DATABASE
from tests.testbed import Sandbox
from tests.widgets.conftest import as_alice


def test_summary_names_the_database_of_several(board: Controller, sandbox: Sandbox) -> None:
    """A new cell of SQL names its database where the next one that is connected would take its place."""
    as_alice(board, sandbox)
    session.connect_db(DATABASE)
    assert side_panel.summary()["database"] is None
    session.connect_db(DATABASE, database="postgres")
    assert side_panel.summary()["database"] == DATABASE
