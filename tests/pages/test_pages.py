"""Every block of README, quick start and how-tos runs on the sandbox."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from sspcloud_magics.sandbox import account
from tests.pages.connect_proxy import connect_proxy
from tests.pages.reading import blocks
from tests.support.left_objects import delete_new_objects, list_objects
from tests.support.ports import free_port
from tests.testbed import DATABASE, Sandbox

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = Path(__file__).parent / "running.py"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LOADS = "%load_ext sspcloud_magics"


@pytest.fixture
def reader(sandbox: Sandbox, tmp_path: Path):
    """A function that runs a page's blocks as a user, in an empty folder and an empty home."""

    def read(
        page: str,
        person: str | None,
        *,
        instead: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        only: slice = slice(0, None),
        before: str = "",
    ) -> str:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        env = {name: value for name, value in sandbox.env().items() if name != "KUBECONFIG"}
        env |= {
            "HOME": str(home),
            "IPYTHONDIR": str(home / ".ipython"),
            "SSPCLOUD_SANDBOX_HOME": str(sandbox.home),
        }
        if person is not None:
            # A copy: a page may log in, and a login is written into the kubeconfig.
            env["KUBECONFIG"] = shutil.copy(sandbox.kubeconfig(person), home / f"kubeconfig-{person}")
        whole = blocks(ROOT / page, instead)
        typed = whole[only]
        assert typed, f"{page} has no block that runs"
        if before or LOADS in "".join(body for _, body in whole[: only.start]):
            typed = [("python", f"{LOADS}\n{before}"), *typed]
        done = subprocess.run(
            [sys.executable, RUN],
            input=json.dumps(typed),
            cwd=tmp_path,
            env=env | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    return read


@pytest.fixture(scope="module", autouse=True)
def pages_objects_deleted(sandbox: Sandbox):
    """Delete what the pages create and keep."""
    before = list_objects(sandbox)
    yield
    delete_new_objects(sandbox, before)


@pytest.fixture
def lent(sandbox: Sandbox):
    """Alice's only share, with bob; created again if a page has revoked it."""
    yield
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sspcloud_magics as ssp; ssp.unshare({DATABASE!r}, all_colleagues=True); ssp.share_db({DATABASE!r}, 'bob')",
        ],
        env=sandbox.env("alice"),
        check=True,
        capture_output=True,
    )


@pytest.fixture
def port() -> str:
    """A local port that nothing listens on."""
    return str(free_port())


def test_the_readme(reader, port):
    assert "connected as share_bob" in reader("README.md", "bob", only=slice(0, 1))
    reader("README.md", "alice", instead={"1500:": f"{port}:"}, only=slice(1, None))


def test_french_readme_and_first_page_have_its_code():
    here, french, first = (code(page) for page in ("README.md", "README.fr.md", "docs/index.md"))
    assert french == here
    assert first == here[:1]


def code(page: str) -> list[str]:
    """Return the statements of a page's blocks, without comments."""
    return [re.sub(r" +# .*", "", body) for _, body in blocks(ROOT / page)]


def test_the_quick_start(reader, sandbox, tmp_path, port):
    config_script(sandbox, tmp_path)
    said = reader("docs/quick-start.md", "bob", only=slice(0, 2))
    assert "You are bob" in said
    assert "connected as share_bob" in said
    assert "connected as alice" in reader(
        "docs/quick-start.md", "alice", instead={"1500:": f"{port}:"}, only=slice(2, None)
    )


def config_script(sandbox: Sandbox, folder: Path) -> None:
    """Save the script that the account page would show to bob."""
    (folder / "config.sh").write_text(account.login_script("bob", sandbox.home))


def test_in_a_notebook_service(reader):
    assert "user-alice" in reader("docs/how-to/sspcloud-service.md", "alice")


def test_on_a_laptop(reader, sandbox, tmp_path):
    config_script(sandbox, tmp_path)
    said = reader("docs/how-to/laptop.md", None)
    assert "oidc-bob" in said
    assert (tmp_path / "home" / ".kube" / "config").stat().st_mode & 0o777 == 0o600


def test_for_a_class(reader, lent):
    said = reader("docs/how-to/class.md", "alice")
    assert "ana, ben and chloe may read" in said


def test_in_a_projects_namespace(reader, sandbox, tmp_path, lent):
    config_script(sandbox, tmp_path)
    page = "docs/how-to/projet-group.md"
    here = {"postgresql-cnpg-204871": DATABASE}
    assert "connected as alice" in reader(page, "alice", instead=here, only=slice(0, 1))
    reader(page, None, instead={"-n projet-stats": "-n user-bob"}, only=slice(1, 2))
    assert "projet-stats may read" in reader(page, "alice", only=slice(2, None))


def test_in_continuous_integration(reader, sandbox, tmp_path):
    page = "docs/how-to/ci.md"
    cluster = yaml.safe_load(sandbox.kubeconfig("alice").read_text())["clusters"][0]["cluster"]
    shutil.copy(sandbox.home / "certificates" / "ca.crt", tmp_path / "ca.pem")
    token = reader(page, "alice", only=slice(0, 2)).split()[-1]
    assert token.startswith("eyJ")
    reader(
        page,
        None,
        instead={"https://apiserver.example:6443": cluster["server"], "FROM results": "FROM communes"},
        environment={"CI_CLUSTER_TOKEN": token},
        only=slice(2, None),
    )
    assert (tmp_path / "results.parquet").stat().st_size > 1000


def test_behind_a_proxy(reader, sandbox, tmp_path):
    kubeconfig = yaml.safe_load(sandbox.kubeconfig("alice").read_text())
    cluster = kubeconfig["clusters"][0]["cluster"]
    cluster["tls-server-name"] = "localhost"
    port = int(cluster["server"].rpartition(":")[2])
    cluster["server"] = f"https://apiserver.example:{port}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    with connect_proxy({"apiserver.example": port}) as proxy:
        said = reader(
            "docs/how-to/behind-a-proxy.md",
            None,
            instead={
                "http://proxy.example:3128": f"http://127.0.0.1:{proxy.port}",
                "svc/NAME": "svc/mon-api",
            },
            environment={"KUBECONFIG": str(path)},
        )
    assert "A tunnel to user-alice/svc/mon-api opens" in said
    assert len(proxy.asked) > 1
    assert {line.split()[1] for line in proxy.asked} == {f"apiserver.example:{port}"}


def test_kubectls_everyday(reader):
    said = reader("docs/how-to/kubectl-everyday.md", "alice")
    assert "configmap/settings created" in said
    assert "configmap/settings deleted." in said
    assert "'mon-api-abcdef-12345'" in said
    assert "ADDED mon-api-abcdef-12345" in said


def test_stuck_tunnel(reader):
    assert "logs/kernel-" in reader("docs/how-to/stuck-tunnel.md", "alice")


def test_reuse_of_a_query(reader):
    said = reader(
        "docs/how-to/reuse-a-query.md",
        "alice",
        before="%connect_db postgresql-cnpg-951239",
    )
    assert said.count("344 rows") == 2  # the second time by its number
    listed = said.partition(">>> %queries\n")[2].partition(">>>")[0]
    assert "by_department" in listed


TRIED_ELSEWHERE = {
    "dask.md": "tests/lake/test_dask.py",
    "larger-than-memory.md": "tests/lake/test_s3.py",
    "other-clients.md": "tests/magics/test_endpoints.py",
    "other-databases.md": "tests/databases/mariadb/test_sessions.py",
    "other-datalab.md": "tests/test_platforms.py",
    "share-a-service.md": "tests/magics/test_service_shares.py",
    "without-python.md": "tests/magics/test_clients.py",
}
"""The how-tos that need a server which the sandbox lacks, or a terminal, and the tests of what they show."""


def test_every_how_to_is_tried():
    tried = Path(__file__).read_text("utf-8")
    pages = {path.name for path in (ROOT / "docs" / "how-to").glob("*.md")} - {"index.md", *TRIED_ELSEWHERE}
    assert [name for name in sorted(pages) if f"docs/how-to/{name}" not in tried] == []
    assert all((ROOT / place).exists() for place in TRIED_ELSEWHERE.values())


def test_the_page_on_queries(reader):
    said = reader(
        "docs/queries.md",
        "alice",
        before="""
import duckdb, pandas as pd, polars, sspcloud_magics as ssp
departement = "35"
%connect_db postgresql-cnpg-951239
%query_db CREATE TEMPORARY TABLE results (LIKE communes)
%query_db ALTER TABLE results ADD year integer
""",
    )
    assert "768" in said


def test_the_page_on_sharing(reader, lent):
    page = "docs/sharing.md"
    assert "bob and carol may read" in reader(page, "alice", only=slice(0, 1), before="pass")
    assert "connected as share_carol" in reader(page, "carol", only=slice(1, None), before="pass")
