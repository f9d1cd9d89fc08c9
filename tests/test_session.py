"""The session without a cluster: choice of the cluster, and resolution of names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from sspcloud_magics import session
from sspcloud_magics.cluster.workloads import resolve
from sspcloud_magics.cluster.workloads.inventory import TargetPort
from sspcloud_magics.cluster.workloads.resolve import ResolvedTarget
from sspcloud_magics.errors import ForwardStopped, TargetNotFound, UsageProblem
from sspcloud_magics.session import ClusterChoice, forwarding, listing, querying
from sspcloud_magics.session import session as session_module
from sspcloud_magics.target import PortText, Target, TargetText
from tests.forwards.stage import helpers
from tests.testbed import Sandbox, Testbed


@pytest.mark.parametrize(
    ("above", "below", "together"),
    [
        (
            ClusterChoice(),
            ClusterChoice(context="a", namespace="n"),
            ClusterChoice(context="a", namespace="n"),
        ),
        (
            ClusterChoice(context="b"),
            ClusterChoice(kubeconfig="f", context="a"),
            ClusterChoice(kubeconfig="f", context="b"),
        ),
        (
            ClusterChoice(kubeconfig="g"),
            ClusterChoice(kubeconfig="f", context="a"),
            ClusterChoice(kubeconfig="g"),
        ),
        (
            ClusterChoice(server="s", token_file="t"),
            ClusterChoice(kubeconfig="f", context="a", namespace="n"),
            ClusterChoice(server="s", token_file="t", namespace="n"),
        ),
        (
            ClusterChoice(context="b"),
            ClusterChoice(server="s", token_file="t", ca_file="c", insecure_skip_tls_verify=True),
            ClusterChoice(context="b"),
        ),
        (
            ClusterChoice(namespace="m"),
            ClusterChoice(server="s", token_file="t"),
            ClusterChoice(server="s", token_file="t", namespace="m"),
        ),
        (
            ClusterChoice(insecure_skip_tls_verify=True),
            ClusterChoice(),
            ClusterChoice(insecure_skip_tls_verify=True),
        ),
    ],
)
def test_present_choice_wins_and_clusters_do_not_mix(
    above: ClusterChoice, below: ClusterChoice, together: ClusterChoice
) -> None:
    assert above.fill_from(below) == together


def test_named_port_keeps_its_name_beside_its_number() -> None:
    ports = (TargetPort(53, "http", "UDP"), TargetPort(8000, "http", "TCP"))
    found = ResolvedTarget(Target("a", "deployment", "x"), ports)
    assert forwarding._number_port(PortText("http"), found) == PortText("http", number=8000)
    assert forwarding._number_port(PortText("http", 1500), found) == PortText("http", 1500, 8000)
    assert forwarding._number_port(PortText(8000), found) == PortText(8000)


@dataclass(frozen=True)
class Row:
    name: str


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        (None, ["api-1", "db-1", "db-22"]),
        ("db", ["db-1", "db-22"]),
        ("-1", ["api-1", "db-1"]),
        ("db-?", ["db-1"]),
        ("*2", ["db-22"]),
        ("[ad]*-1", ["api-1", "db-1"]),
        ("DB", []),
    ],
)
def test_a_pattern_is_part_of_a_name_or_a_glob(pattern: str | None, kept: list[str]) -> None:
    rows = [Row("api-1"), Row("db-1"), Row("db-22")]
    assert [row.name for row in listing._filter_by_name(rows, pattern)] == kept


def test_namespace_may_repeat_but_not_contradict() -> None:
    text = TargetText("x", "service")
    assert forwarding._in_namespace(text, "a") == TargetText("x", "service", "a")
    assert forwarding._in_namespace(TargetText("x", None, "a"), "a") == TargetText("x", None, "a")
    with pytest.raises(UsageProblem, match="names the namespace 'a', but -n names 'b'"):
        forwarding._in_namespace(TargetText("x", None, "a"), "b")


@dataclass(frozen=True)
class Open:
    """A forward as far as choosing one goes."""

    target: Target
    ports: tuple[tuple[int, int | str], ...]
    sockets: tuple[str, ...] = ()
    address: str = "localhost"


API = Open(Target("a", "service", "api"), ((8000, 80),))
DB = Open(Target("a", "service", "db-rw"), ((5432, 5432), (9187, "metrics")))
POD = Open(Target("b", "pod", "db-1"), ((6000, 5432),))
SOCKET = Open(Target("c", "service", "web"), ((8000, 8000),), ("/run/web/8000.sock",), "/run/web")


@pytest.mark.parametrize(
    ("which", "meant"),
    [
        ("8000", [API]),
        ("9187", [DB]),
        ("api", [API]),
        ("svc/db-rw", [DB]),
        ("a/svc/api", [API]),
        ("b/db", [POD]),
        ("pod/db", [POD]),
        ("a", [API]),
        ("/run/web/8000.sock", [SOCKET]),
        ("/run/web", [SOCKET]),
    ],
)
def test_forward_is_found_by_port_or_target(which: str, meant: list[Open]) -> None:
    assert forwarding._match_forwards([API, DB, POD, SOCKET], which) == meant  # type: ignore[arg-type,comparison-overlap]


@pytest.mark.parametrize("which", ["80", "5433", "nothing", "pod/api", "c/api", "db"])
def test_ambiguous_forward_is_answered_with_the_open(which: str) -> None:
    with pytest.raises(TargetNotFound) as caught:
        forwarding._match_forwards([API, DB, POD], which)  # type: ignore[arg-type,list-item]
    assert "%unforward 5432" in caught.value.hint
    assert "b/pod/db-1" in caught.value.hint


def test_a_closed_session_can_be_used_again() -> None:
    session.close()
    assert session.open_forwards() == []
    assert session.recent_use().cluster is None


@pytest.fixture
def alice(sandbox: Sandbox) -> Iterator[None]:
    session.login(kubeconfig=sandbox.kubeconfig("alice"))
    yield
    session.close()


def close_after(does: Callable[..., Any]) -> Callable[..., Any]:
    """What `does` does, and then the end of the session, as another thread asks for it."""

    def both(*arguments: Any, **named: Any) -> Any:
        done = does(*arguments, **named)
        session.close()
        return done

    return both


@pytest.mark.usefixtures("alice")
def test_forward_opened_during_close_is_not_opened(testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "resolve", close_after(resolve.resolve))
    with pytest.raises(ForwardStopped, match="was not opened"):
        session.forward(f"{testbed.namespace}/pod/{testbed.echo.pod}", testbed.echo.port)
    assert session.open_forwards() == []
    assert helpers() == []


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    ("module", "name"), [(querying, "find_credentials"), (session_module, "apply_defaults")]
)
def test_database_opened_during_close_is_not_connected(
    module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, close_after(getattr(module, name)))
    with pytest.raises(ForwardStopped):
        session.connect_db("postgresql-cnpg-951239")
    assert session.open_connections() == []
    assert session.open_forwards() == []
    assert helpers() == []


@pytest.mark.usefixtures("alice")
def test_forward_of_a_closed_session_is_not_restarted(testbed: Testbed) -> None:
    opened = session.forward(f"{testbed.namespace}/pod/{testbed.echo.pod}", testbed.echo.port)
    assert session.restart_forward(opened).local_port == opened.local_port
    session.close()
    with pytest.raises(ForwardStopped, match="no longer open"):
        session.restart_forward(opened)
