"""``%connect_db NAME --for CLIENT`` and ``sspcloud connect``: real psql and real R through the stored service."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sspcloud_magics import __main__ as command
from sspcloud_magics.databases.postgres import client_files
from tests.magics.conftest import Notebook
from tests.support import debian_servers
from tests.support.database import DATABASE
from tests.support.waiting import wait_until
from tests.testbed import Sandbox

NAME = f"user-alice/{DATABASE}"
SERVICE = f"user-alice.{DATABASE}"


@pytest.fixture(scope="module")
def psql() -> Path:
    """Debian's psql."""
    root = debian_servers.require("postgresql-client-15")
    return next(root.glob("usr/lib/postgresql/*/bin/psql"))


@pytest.fixture(scope="module")
def r_root() -> Path:
    """Debian's R, with DBI."""
    return debian_servers.require("r-base-core", "r-cran-dbi", "r-cran-rpostgresql")


@pytest.fixture
def bob(notebook: Notebook, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """Bob's notebook, with a file of services of its own; alice shares her database with him."""
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "pg_service.conf"))
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('bob')}")
    return notebook


def run_psql(program: Path, *arguments: str) -> str:
    """Run psql without a password prompt."""
    environment = debian_servers.environment(program.parents[5])
    environment["PGSERVICEFILE"] = os.environ["PGSERVICEFILE"]
    return subprocess.run(
        [program, "--no-psqlrc", "--no-password", "--tuples-only", "--no-align", *arguments],
        env=environment, check=True, capture_output=True, text=True, timeout=60,
    ).stdout.strip()  # fmt: skip


def test_psql_connects_by_the_service(bob: Notebook, psql: Path) -> None:
    shown = bob.run(f"%connect_db {NAME} --for psql")
    assert f'psql "service={SERVICE}"' in repr(shown)
    port = shown.forward.local_port
    who = run_psql(
        psql,
        f"service={SERVICE}",
        "-c",
        "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    )
    assert who.startswith("share_bob|")
    assert bob.run(f"%connect_db {NAME} --for r").forward is shown.forward
    password = client_files.pass_file(SERVICE).read_text().splitlines()[0].rpartition(":")[2]
    assert password not in bob.printed + repr(shown) + str(shown._repr_mimebundle_())
    assert stat.S_IMODE(client_files.pass_file(SERVICE).stat().st_mode) == 0o600

    bob.run("%unforward --all")
    assert bob.run(f"%connect_db {NAME} --for dbeaver").forward.local_port == port
    assert str(bob.run(f"%connect_db {NAME} --forget")) == "The stored login is removed."
    assert not client_files.pass_file(SERVICE).exists()
    assert str(bob.run(f"%connect_db {NAME} --forget")) == "No login was stored."
    with pytest.raises(subprocess.CalledProcessError):
        run_psql(psql, f"service={SERVICE}", "-c", "SELECT 1")


R = """
.libPaths("{root}/usr/lib/R/site-library")
library(DBI)
con <- dbConnect(RPostgreSQL::PostgreSQL(), dbname = "service={service}")
frame <- dbGetQuery(con, "SELECT current_user::text AS who, count(*) AS n FROM communes")
cat("as", frame$who, frame$n > 0, "\\n")
dbDisconnect(con)
"""


def test_r_connects_by_the_service(bob: Notebook, r_root: Path, tmp_path: Path) -> None:
    """Debian 12 has DBI with RPostgreSQL; RPostgres takes the same service of libpq by an argument of that name."""
    root = r_root
    bob.run(f"%connect_db {NAME} --for r")
    script = tmp_path / "script.R"
    script.write_text(R.format(root=root, service=SERVICE))
    home = root / "usr/lib/R"
    environment = debian_servers.environment(root) | {
        "R_HOME": str(home),
        "EDITOR": "vi",  # the package `utils` needs one
        "HOME": str(tmp_path),
        "PGSERVICEFILE": os.environ["PGSERVICEFILE"],
    }
    libraries = [
        *root.glob("usr/lib/*-linux-gnu*/blas"),
        *root.glob("usr/lib/*-linux-gnu*/lapack"),
        home / "lib",
    ]
    environment["LD_LIBRARY_PATH"] = os.pathsep.join([environment["LD_LIBRARY_PATH"], *map(str, libraries)])
    done = subprocess.run(
        [home / "bin/exec/R", "--vanilla", "--no-echo", f"--file={script}"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "as share_bob TRUE" in done.stdout, done.stdout + done.stderr


@contextlib.contextmanager
def terminal(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``sspcloud`` until it is interrupted."""
    with subprocess.Popen(
        [sys.executable, "-m", "sspcloud_magics", *arguments], stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(30)


def test_terminal_keeps_the_port_until_interrupted(bob: Notebook, sandbox: Sandbox, psql: Path) -> None:
    kubeconfig = str(sandbox.kubeconfig("bob"))
    with terminal("connect", NAME, "--kubeconfig", kubeconfig) as running:
        wait_until(lambda: client_files.pass_file(SERVICE).exists())
        assert running.stdout is not None
        lines = [running.stdout.readline() for _line in range(5)]
        assert f"; sspcloud connect {NAME} --forget removes it" in lines[-1]
        assert f'psql "service={SERVICE}"\n' in lines
        assert run_psql(psql, f"service={SERVICE}", "-c", "SELECT current_user") == "share_bob"
    assert running.returncode == 130
    with pytest.raises(subprocess.CalledProcessError):
        run_psql(psql, f"service={SERVICE}", "-c", "SELECT 1")


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        (["databases"], (0, DATABASE)),
        (["pods", "mon-api"], (0, "mon-api-abcdef-12345")),
        (["shares"], (0, "bob")),
        (["share", "svc/mon-api", "--with", "bob", "--dry-run"], (0, "%forward user-alice/svc/mon-api 80")),
        (["connect", "nothing"], (1, "There is no database 'nothing'")),
        (["connect", "nothing"], (1, "; sspcloud databases -n NAMESPACE lists them")),
        (["connect", "user-bob/nothing"], (1, "%connect_db user-bob/nothing --user USER")),
        (["connect", "user-bob/nothing"], (1, "run: sspcloud share nothing --with alice")),
        (["connect", DATABASE, "--for", "excel"], (1, "use one of: r, psql")),
        (["connect", DATABASE, "--forget"], (0, "No login was stored.")),
        (["unshare", "svc/mon-api", "carol"], (1, "not shared with carol")),
    ],
)
def test_commands_answer_as_the_magics(
    bob: Notebook,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    outcome: tuple[int, str],
) -> None:
    assert command.main([*arguments, "--kubeconfig", str(sandbox.kubeconfig("alice"))]) == outcome[0]
    assert outcome[1] in "".join(capsys.readouterr())
