"""Messages of the kernel to JupyterLab's plugin."""

from __future__ import annotations

from typing import Any

import pytest

from sspcloud_magics import i18n, session
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


def languages(jupyterlab: Any, browser: Any) -> dict[str, Any]:
    return {"content": {"data": {"languages": {"jupyterlab": jupyterlab, "browser": browser}}}}


@pytest.mark.parametrize(
    ("message", "language"),
    [
        (languages("", "fr-FR"), "fr"),
        (languages("en", "fr-FR"), "en"),
        (languages("fr_FR", "en-US"), "fr"),
        (languages("", "x" * 41), "en"),
        (languages(["fr"], "en"), "en"),
        ({"content": {"data": {}}}, "en"),
    ],
)
def test_choice_in_jupyterlab_precedes_the_browser(
    message: dict[str, Any], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSPCLOUD_LANGUAGE")
    try:
        side_panel.note_languages(message)
        assert i18n.current() == language
    finally:
        for source in i18n.Source:
            i18n.choose(source, "")
