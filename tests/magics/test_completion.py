"""Tab completion, with given names of a cluster; `test_sandbox` fetches real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from sspcloud_magics.magics import completion
from sspcloud_magics.magics.completion import ClusterNames
from tests.magics.conftest import Notebook

NAMES = ClusterNames(
    targets={
        "mon-api-abcdef-12345": ("8000", "http"),
        "svc/mon-api": ("80", "http"),
        "svc/mon-app": ("443",),
        "user-alice/svc/db-rw": ("5432", "postgres"),
    },
    databases=("db", "user-alice/db"),
    namespaces=("user-bob", "user-alice"),
)


@pytest.fixture
def offered(notebook: Notebook) -> Notebook:
    """A notebook whose cache has `NAMES`."""
    notebook.shell._sspcloud_magics.known.names = NAMES
    return notebook


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("%forward mon", ["%forward mon-api-abcdef-12345"]),
        ("%forward svc/mon-ap", ["%forward svc/mon-api", "%forward svc/mon-app"]),
        ("%forward user-alice/", ["%forward user-alice/svc/db-rw"]),
        ("%forward svc/mon-api ", ["%forward svc/mon-api 80", "%forward svc/mon-api http"]),
        ("%forward svc/mon-api 1500:", ["%forward svc/mon-api 1500:80", "%forward svc/mon-api 1500:http"]),
        ("%forward svc/mon-api 1500:h", ["%forward svc/mon-api 1500:http"]),
        ("%forward svc/mon-api :h", ["%forward svc/mon-api :http"]),
        ("%forward svc/mon-api 80 h", ["%forward svc/mon-api 80 http"]),
        ("%forward -n user-a", ["%forward -n user-alice"]),
        ("%forward --namespace user-b", ["%forward --namespace user-bob"]),
        ("%forward -n user-bob svc/mon-app", ["%forward -n user-bob svc/mon-app"]),
        ("%forward --na", ["%forward --namespace"]),
        ("%forward -n user-bob --na", ["%forward -n user-bob --namespace"]),
        ("f = %forward mon", ["f = %forward mon-api-abcdef-12345"]),
        ("%connect_db d", ["%connect_db db"]),
        ("%connect_db user-a", ["%connect_db user-alice/db"]),
        ("%connect_db db --u", ["%connect_db db --url-env", "%connect_db db --user"]),
        ("%k8s_pods --all", ["%k8s_pods --all-namespaces"]),
        ("%%query_db --l", ["%%query_db --limit"]),
        ("%sandbox sta", ["%sandbox start", "%sandbox status"]),
        ("%sandbox as c", ["%sandbox as carol"]),
        ("x = 1\n%forward mon", ["x = 1\n%forward mon-api-abcdef-12345"]),
    ],
)
def test_tab_offers_only_what_may_stand_there(offered: Notebook, line: str, offers: list[str]) -> None:
    assert sorted(offered.complete(line)) == offers


@pytest.mark.parametrize(
    "line", ["%forward zzz", "%query_db SELECT --l", "%timeit mon", "forward mon", "%forwards mon"]
)
def test_tab_offers_nothing_where_it_knows_nothing(offered: Notebook, line: str) -> None:
    ours = {*NAMES.targets, *NAMES.databases, "--limit"}
    assert not [each for each in offered.complete(line) if each.split()[-1] in ours]


def test_contexts_come_from_the_kubeconfig(
    offered: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("contexts: [{name: alice, context: {}}, {name: all-of-us, context: {}}]\n")
    monkeypatch.setenv("KUBECONFIG", str(mine))
    assert offered.complete("%k8s_login --context al") == [
        "%k8s_login --context alice",
        "%k8s_login --context all-of-us",
    ]
    other = tmp_path / "other"
    other.write_text("contexts: [{name: zoe, context: {}}]\n")
    assert offered.complete(f"%k8s_login --kubeconfig {other} --context z") == [
        f"%k8s_login --kubeconfig {other} --context zoe"
    ]
    other.write_text("[not: a kubeconfig")
    assert not offered.complete(f"%k8s_login --kubeconfig {other} --context z")


def test_nothing_is_fetched_before_a_cluster_was_used(notebook: Notebook) -> None:
    known: completion.KnownNames = notebook.shell._sspcloud_magics.known
    notebook.run("1 + 1")
    notebook.complete("%forward ")
    assert known._thread is None
    assert known.names == ClusterNames()
