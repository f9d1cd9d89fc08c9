"""SQL in cells: its colours, its keys, *Format SQL* and *New SQL Cell*, in JupyterLab and in Notebook 7."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, execute, jupyterlab, open_notebook, run_cell, write_notebook
from tests.testbed import DATABASE, Sandbox

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect.set_options(timeout=40_000)

CELL = """# Les salaires d'un département
df = %%query_db --limit 1000
select c.nom, avg(s.salaire)::numeric as moyenne -- it's a comment
from communes c where c.departement = :departement and c.note <> $$it's$$"""
LINE = "df = %query_db SELECT max(salaire) FROM salaires WHERE departement = :departement\nprint(max(df))"
PYTHON = "def largest(x):\n    return max(x)  # :departement"
CELLS = ["%load_ext sspcloud_magics", CELL, LINE, PYTHON, "%%query_db"]
PAST = [
    CELLS[0],
    f"%connect_db {DATABASE}",
    "least = 700_000",
    "%%query_db --save large\nSELECT nom FROM communes\nWHERE population > :least",
    "%queries --copy 1",
]
KEYWORD, PARAMETER, STRING, COMMENT = "keyword", "def", "string", "comment"
COLOURS = [
    (1, "# Les salaires d'un département", COMMENT),
    (1, "1000", "number"),
    (1, "select", KEYWORD),
    (1, "::", "operator"),
    (1, "-- it's a comment", COMMENT),
    (1, ":departement", PARAMETER),
    (1, "$$it's$$", STRING),
    (2, "SELECT", KEYWORD),
    (2, ":departement", PARAMETER),
    (2, "print", "builtin"),
    (3, "return", KEYWORD),
    (3, "# :departement", COMMENT),
]
SOURCE = "index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.sharedModel.source"


@pytest.fixture(scope="module", params=["jupyterlab", pytest.param("notebook", marks=pytest.mark.wide)])
def application(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def lab(application: str, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[Lab]:
    """An application in which you are alice."""
    folder = tmp_path_factory.mktemp(application)
    (folder / "notebooks").mkdir()
    for name in ("colours", "keys", "commands"):
        write_notebook(folder / "notebooks" / f"{name}.ipynb", CELLS)
    write_notebook(folder / "notebooks" / "past.ipynb", PAST)
    environment = {
        "SSPCLOUD_SANDBOX_HOME": str(sandbox.home),
        "KUBECONFIG": str(sandbox.kubeconfig("alice")),
        "HOME": str(folder / "home"),
    }
    with jupyterlab(folder / "notebooks", folder / "home", environment, application=application) as running:
        yield running


def edit(page: Page, cell: int, line: int, column: int) -> None:
    """Put the cursor into a cell."""
    page.evaluate(
        """([cell, line, column]) => {
            const { content } = window.jupyterapp.shell.currentWidget;
            content.activeCellIndex = cell;
            content.mode = 'edit';
            content.activeCell.editor.focus();
            content.activeCell.editor.setCursorPosition({ line, column });
        }""",
        arg=[cell, line, column],
    )


@pytest.mark.timeout(240)
def test_sql_has_the_theme_s_colours(page: Page, lab: Lab, application: str, shots: Path) -> None:
    open_notebook(page, lab, "colours.ipynb")
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    for theme in ("Light", "Dark"):
        page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })",
            arg=f"JupyterLab {theme}",
        )
        page.wait_for_function(
            """theme => document.body.dataset.jpThemeName === theme
                && getComputedStyle(document.body).getPropertyValue('--jp-mirror-editor-keyword-color')""",
            arg=f"JupyterLab {theme}",
        )
        for cell, text, role in COLOURS:
            piece = cells.nth(cell).locator(".cm-line span").filter(has_text=text).first
            expect(piece).to_have_text(text)
            expect(piece).to_have_css("color", _colour(page, role))
        page.screenshot(path=shots / f"sql-{application}-{theme.lower()}.png")


def _colour(page: Page, role: str) -> str:
    """Return the theme's colour for a role, as the browser computes it."""
    found: str = page.evaluate(
        """role => {
            const probe = document.querySelector('.jp-Notebook').appendChild(document.createElement('i'));
            probe.style.color = `var(--jp-mirror-editor-${role}-color)`;
            const { color } = getComputedStyle(probe);
            probe.remove();
            return color;
        }""",
        arg=role,
    )
    return found


@pytest.mark.timeout(240)
def test_keys_do_what_they_do_in_sql(page: Page, lab: Lab) -> None:
    open_notebook(page, lab, "keys.ipynb")
    edit(page, 4, 0, len("%%query_db"))
    page.keyboard.type("\nSELECT nom\nFROM communes WHERE code IN (\n1\n")
    typed = "%%query_db\nSELECT nom\nFROM communes WHERE code IN (\n    1\n    "
    assert page.evaluate(SOURCE, arg=4) == typed
    edit(page, 4, 1, 0)
    page.keyboard.press("Control+/")
    assert page.evaluate(SOURCE, arg=4) == typed.replace("SELECT", "-- SELECT")
    edit(page, 3, 1, 0)
    page.keyboard.press("Control+/")
    assert page.evaluate(SOURCE, arg=3) == PYTHON.replace("return", "# return")


@pytest.mark.timeout(240)
def test_commands_begin_and_format_sql(page: Page, lab: Lab, application: str, shots: Path) -> None:
    open_notebook(page, lab, "commands.ipynb")
    edit(page, 3, 0, 0)
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input").wait_for()
    page.keyboard.type("New SQL Cell")
    page.keyboard.press("Enter")
    expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(len(CELLS) + 1)
    expect(page.locator(".jp-Notebook .jp-CodeCell").nth(4).locator(".cm-content")).to_be_focused()
    page.keyboard.type("select :a::int")
    assert page.evaluate(SOURCE, arg=4) == "%%query_db\nselect :a::int"

    run_cell(page, 0)
    execute(page, "sspcloud:open-panel")
    side = page.locator(".jp-SSPCloudSide")
    format_sql = side.get_by_role("button", name="Format SQL")
    edit(page, 1, 3, 0)
    format_sql.click()
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(1)
    expect(cell.locator(".cm-line").nth(4)).to_have_text(
        "    avg(s.salaire)::numeric as moyenne -- it's a comment"
    )
    lines = page.evaluate(SOURCE, arg=1).splitlines()
    assert lines[:4] == [*CELL.splitlines()[:2], "select", "    c.nom,"]
    assert lines[-2:] == ["    c.departement = :departement", "    and c.note <> $$it's$$"]
    page.screenshot(path=shots / f"sql-panel-{application}.png")
    edit(page, 1, 0, 0)
    page.keyboard.press("Control+z")
    expect(cell.locator(".cm-line")).to_have_count(len(CELL.splitlines()))

    edit(page, 3, 0, 0)
    format_sql.click()
    expect(page.get_by_text("This is not an SQL cell.")).to_be_visible()
    side.get_by_role("button", name="New SQL cell").click()
    expect(page.locator(".jp-Notebook .jp-CodeCell").nth(4).locator(".cm-content")).to_be_focused()
    page.keyboard.type("select (1")
    format_sql.click()
    expect(page.get_by_text("the formatter cannot read it: Parse error")).to_be_visible()
    assert page.evaluate(SOURCE, arg=4) == "%%query_db\nselect (1"
    page.screenshot(path=shots / f"sql-refused-{application}.png")


@pytest.mark.timeout(240)
def test_past_statements_come_back(page: Page, lab: Lab, application: str, shots: Path) -> None:
    open_notebook(page, lab, "past.ipynb")
    for cell in range(len(PAST)):
        run_cell(page, cell)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells).to_have_count(len(PAST) + 1)
    copied = page.evaluate(SOURCE, arg=len(PAST))
    assert copied == PAST[3].replace("%%query_db", f"%%query_db --db user-alice/{DATABASE}")
    edit(page, len(PAST), 0, 0)
    execute(page, "sspcloud:open-panel")
    page.locator(".jp-SSPCloudSide").get_by_role("button", name="Past statements").click()
    expect(cells).to_have_count(len(PAST) + 2)
    assert page.evaluate(SOURCE, arg=len(PAST) + 1) == "%queries"
    run_cell(page, len(PAST) + 1)
    expect(cells.last.get_by_role("cell", name="large", exact=True)).to_be_visible()
    cells.last.scroll_into_view_if_needed()
    page.screenshot(path=shots / f"sql-past-{application}.png")
