"""Messages of the kernel to JupyterLab's plugin."""

from __future__ import annotations

from sspcloud_magics import session
from sspcloud_magics.widgets import side_panel
from sspcloud_magics.widgets.controller import Controller
from tests.support.database import DATABASE_PATH as DATABASE
from tests.testbed import Sandbox
from tests.widgets.conftest import as_alice


def test_summary_names_the_database_of_several(controller: Controller, sandbox: Sandbox) -> None:
    """With several connections, a new SQL cell names its database, since the next connection would replace it."""
    as_alice(controller, sandbox)
    session.connect_db(DATABASE)
    assert side_panel.summary()["database"] is None
    session.connect_db(DATABASE, database="postgres")
    assert side_panel.summary()["database"] == DATABASE
