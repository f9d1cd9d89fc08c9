"""Demonstration of the main task in a terminal: ``python -m sspcloud_magics.demo``.

It starts a practice cluster in a temporary directory. There bob, who has only an account, reads a table of alice's
Postgres into a DataFrame. Every cell runs in a real IPython, as in a notebook. The practice cluster ends with this
process, even if the process is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from sspcloud_magics.i18n import N_, _, format_duration

if TYPE_CHECKING:
    from types import FrameType

_QUERY = """\
SELECT d.nom AS departement, count(*) AS personnes, avg(i.salaire_net)::numeric(8,2) AS salaire_moyen
FROM individus i
JOIN menages m ON m.id = i.menage
JOIN communes c ON c.code = m.commune
JOIN departements d ON d.code = c.departement
WHERE i.activite = :activite
GROUP BY d.nom
ORDER BY salaire_moyen DESC"""

CELLS: tuple[tuple[str, str], ...] = (
    ("", "%load_ext sspcloud_magics"),  # not translated: a cell
    (
        N_("A practice cluster on this machine, and an account on it."),
        "%sandbox start",  # not translated: a cell
    ),
    (N_("Who am I?"), "%k8s_whoami"),
    (
        N_("For a moment as alice, a colleague: what runs in her namespace?"),
        "%sandbox as alice",  # not translated: a cell
    ),
    ("", "%k8s_pods"),
    (
        N_("As bob again: alice has shared her Postgres with him."),
        "%sandbox as bob",  # not translated: a cell
    ),
    (
        N_("Its name is enough: a tunnel is opened, and the login that she made for bob is found."),
        "%connect_db user-alice/postgresql-cnpg-951239",  # not translated: a cell
    ),
    (N_("A variable of the notebook …"), 'activite = "en emploi"'),  # not translated: a cell
    (
        N_("… is bound to the query, and the rows come back as a DataFrame."),
        f"%%query_db --into salaires\n{_QUERY}",  # not translated: a cell
    ),
    (N_("From here on it is pandas."), "salaires.describe()"),
    (N_("The tunnel waits in the background, and heals when its pod is replaced."), "%forwards"),
)

# How long the practice cluster may take to stop its Postgres before it is killed.
STOP_SECONDS = 20.0


class Failed(Exception):
    """A cell failed; the message has its first line and the error."""


class Page:
    """Terminal output: plain text if it is not a terminal, or if `NO_COLOR <https://no-color.org>`_ is set."""

    def __init__(self) -> None:
        self.colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def write(self, text: str = "", style: str = "") -> None:
        """Write a line and flush; `style` holds the parameters of an SGR sequence."""
        if style and self.colours:
            text = f"\x1b[{style}m{text}\x1b[0m"
        print(text, flush=True)  # noqa: T201 - it is a program for the terminal

    def cell(self, number: int, source: str) -> None:
        """Write a cell after its prompt, as IPython does."""
        first, *rest = source.splitlines()
        prompt = f"In [{number}]: "
        self.write(self._prompt(prompt) + first)
        for line in rest:
            self.write(self._prompt("...: ".rjust(len(prompt))) + line)

    def _prompt(self, text: str) -> str:
        return f"\x1b[32m{text}\x1b[0m" if self.colours else text


class Notebook(InteractiveShell):
    """IPython without a prompt, a history or tracebacks: `run` reads the error from the result of the cell."""

    def showtraceback(self, *_unused: Any, **__: Any) -> None:
        """Show nothing."""


@contextlib.contextmanager
def practice_cluster() -> Iterator[None]:
    """Run a sandbox in a temporary directory, where ``%sandbox`` finds it."""
    from sspcloud_magics.sandbox import daemon  # noqa: PLC0415 - missing where the extra is not installed

    home = Path(tempfile.mkdtemp(prefix="sspcloud-demo-"))
    try:
        if os.geteuid() == 0:
            home.chmod(0o711)  # Postgres runs as another user, who must be able to enter
        process = daemon.spawn(home, with_parent=True)
        try:
            os.environ["SSPCLOUD_SANDBOX_HOME"] = str(home)
            yield
        finally:
            _end(process)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the sandbox's standard input, which stops it, and wait for its last pod."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def notebook(page: Page) -> Iterator[InteractiveShell]:
    """Yield an IPython that reads no user configuration and writes no history."""
    with tempfile.TemporaryDirectory(prefix="sspcloud-demo-") as folder:
        os.environ["IPYTHONDIR"] = os.environ["XDG_STATE_HOME"] = folder
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "linux" if page.colours else "nocolor"
        shell = Notebook.instance(config=config)
        try:
            yield shell
        finally:
            from sspcloud_magics import session  # noqa: PLC0415 - after the extension was loaded

            session.close()
            shell.restore_sys_module_state()  # type: ignore[no-untyped-call]  # IPython's
            Notebook.clear_instance()


def run(page: Page) -> None:
    """Start the practice cluster, run and show every cell, and stop everything.

    Raises
    ------
    Failed
        If a cell fails.
    KeyboardInterrupt
        If the user interrupts it.
    """
    began = time.monotonic()
    page.write(_("sspcloud_magics: a colleague's table in a DataFrame"), "1")
    page.write("\n" + _("Starting a practice cluster (a Kubernetes API, a real Postgres) …"), "2")
    with practice_cluster(), notebook(page) as shell:
        for number, (comment, source) in enumerate(CELLS, start=1):
            page.write()
            for line in _(comment).splitlines() if comment else ():
                page.write(f"# {line}", "2")
            page.cell(number, source)
            done: Any = shell.run_cell(source, store_history=True)  # type: ignore[no-untyped-call]  # IPython's
            # IPython also reports an error between two statements of a cell, such as Ctrl-C, as "before".
            error = done.error_before_exec or done.error_in_exec
            if isinstance(error, KeyboardInterrupt):
                raise error
            if error is not None:
                raise Failed(f"{source.splitlines()[0]}\n{type(error).__name__}: {error}") from error
    took = timedelta(seconds=round(time.monotonic() - began))
    page.write(
        "\n" + _("Done in {duration}; nothing is left running.", duration=format_duration(took)),
        "1",
    )
    page.write(_("Go on in a notebook:  make lab"))


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Run the demonstration.

    Returns
    -------
    int
        The exit code: 0, 1 if something failed, 130 if the user interrupted it.
    """
    page = Page()
    if sys.platform == "win32":
        page.write(_("The practice cluster runs on Linux and macOS only."))
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        run(page)
    except KeyboardInterrupt:
        page.write("\n" + _("Ended; nothing is left running."))
        return 130
    except Exception as error:  # noqa: BLE001 - report any failure to the user, without a traceback
        page.write("\n" + _("The demonstration failed: {error}", error=error), "31")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
