"""The examples in docstrings run: those that need no cluster as they stand, those of the Python API on the sandbox, as alice."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import shutil
import textwrap
from collections.abc import Iterator

import pytest

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.sandbox import account
from sspcloud_magics.session import session as session_module
from tests.testbed import DATABASE, Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHAPTERS = [
    *("whoami", "pods", "services", "databases", "doctor", "use_namespace"),
    *("apply", "get", "get_yaml", "describe", "logs", "follow_logs", "events", "delete", "kubernetes"),
    *("forward", "forward_through_relay", "forwards", "unforward"),
    *("shareable_schemas", "preview_share", "share_db", "shares"),
    *(
        "connect_db",
        "connection",
        "tables",
        "describe_table",
        "query_db",
        "engine",
        "load_table",
        "transaction",
        "duckdb",
        "read_dask",
        "connect_client",
        "forget_client",
    ),
    *("share", "unshare", "language", "panel", "close", "login"),
]
"""In an order in which each finds what it needs, as a reader of the page would try them."""

WITHOUT = ["endpoint"]
"""What needs a database that the sandbox does not have."""

INSTEAD = {
    "1500:8000": ":8000",
    "db-rw.user-alice.svc.cluster.local:5432": "mon-api.user-alice.svc.cluster.local:80",
    "projet-x": "user-alice",
}
"""What the sandbox has in the place of what an example names."""


def examples() -> Iterator[doctest.DocTest]:
    """Yield every docstring of the package that has an example."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in pkgutil.walk_packages(ssp.__path__, f"{ssp.__name__}."):
        if not module.name.endswith("__main__"):
            yield from (
                found for found in finder.find(importlib.import_module(module.name)) if found.examples
            )


def test_examples_without_a_cluster_answer_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "session", session_module.Session())
    runner = doctest.DocTestRunner(verbose=False)
    said: list[str] = []
    tried = 0
    for example in examples():
        tried += runner.run(example, out=said.append).attempted
    session.close()
    assert not said, "".join(said)
    assert tried > 50


@pytest.fixture
def as_alice(
    sandbox: Sandbox, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sandbox]:
    """A session of alice's in an empty folder; her share to bob is as it was, at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", shutil.copy(sandbox.kubeconfig("alice"), "kubeconfig"))
    monkeypatch.setattr(session_module, "session", session_module.Session())
    with open("config.sh", "w") as script:  # noqa: PTH123
        script.write(account.login_script("alice", sandbox.home))
    yield sandbox
    ssp.panel().close()
    session.close()
    ssp.language("")
    monkeypatch.setattr(session_module, "session", session_module.Session())
    ssp.unshare(DATABASE, "carol")
    ssp.share_db(DATABASE, "bob")
    ssp.connect_db(DATABASE)
    ssp.query_db("DROP TABLE numbers")
    session.close()


def test_the_examples_of_the_python_api_run(as_alice: Sandbox) -> None:
    assert sorted(CHAPTERS + WITHOUT) == sorted(ssp.__all__)
    finder = doctest.DocTestFinder()
    names: dict[str, object] = {}
    for name in CHAPTERS:
        (found,) = finder.find(getattr(ssp, name), name)
        assert found.examples, f"{name} has no example"
        for example in found.examples:
            source = textwrap.dedent(example.source)
            for written, meant in INSTEAD.items():
                source = source.replace(written, meant)
            exec(compile(source, f"the example of {name}", "single"), names)  # noqa: S102 - it is what is tested
