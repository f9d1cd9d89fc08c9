"""An untrusted API server: limits of its answers, and errors for malformed ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from sspcloud_magics.cluster.api.api_errors import Expired
from sspcloud_magics.cluster.api.client import Timings
from sspcloud_magics.cluster.api.resources import PODS, Attempt
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests import object_reads
from sspcloud_magics.cluster.requests.permissions import may, secrets_by_name, who_am_i
from sspcloud_magics.cluster.workloads import inventory, resolve, tables
from sspcloud_magics.databases import discovery
from sspcloud_magics.doctor import known_issues, permission_checks, target_checks
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.errors import ClusterError, ServerError, ServerUnreachable, SspcloudError
from sspcloud_magics.sharing import advisories, plan, relay
from sspcloud_magics.sharing.inventory import list_shares
from sspcloud_magics.target import Target
from tests.hostile import api

NO_API = "did not answer as a Kubernetes API server does"


@pytest.fixture
def cluster_of(authority: trustme.CA, tmp_path: Path) -> Callable[[api.Behaviour], Any]:
    return lambda behave: api.cluster_of(authority, behave, tmp_path)


@pytest.mark.parametrize(
    ("behave", "says"),
    [
        (api.gzip_bomb(200), "more than 128 MiB"),
        (api.endless, "more than 128 MiB"),
        (api.brackets(), "more than 100 levels"),
        (api.brackets(101), "more than 100 levels"),
        (api.many_values(40), "more than 5,000,000 values"),
        (api.answer(b'{"items": [{"metadata": {"name": "\\udcff"}}]}'), "It answered application/json"),
        (api.json_answer([]), "It answered application/json"),
        (api.json_answer({"items": [None]}), "an object without a name"),
        (api.json_answer({"items": {"metadata": {}}}), "answered a list request"),
        (api.json_answer({"items": [{"metadata": {"name": 1}}]}), "an object without a name"),
        (
            api.json_answer({"items": [{"metadata": {"name": "a"}, "spec": []}]}),
            "not a valid Kubernetes object",
        ),
        (api.json_answer({"items": [], "metadata": {"continue": "x"}}), "refers to itself"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_malformed_answer_is_no_api(cluster_of: Any, behave: api.Behaviour, says: str) -> None:
    with cluster_of(behave) as cluster, pytest.raises(ServerError, match=NO_API) as refused:
        inventory.pods(cluster)
    assert says in refused.value.why


@pytest.mark.parametrize("behave", [api.drip(), api.drip_headers], ids=["body", "headers"])
def test_an_answer_has_a_total_time(cluster_of: Any, behave: api.Behaviour) -> None:
    with cluster_of(behave) as cluster:
        cluster.api.timings = Timings(read=0.4, answer=0.5)
        with pytest.raises(ServerUnreachable):
            inventory.pods(cluster)


@pytest.mark.parametrize("watched", [api.drip(), api.drip(b"")], ids=["body", "headers"])
def test_a_watch_has_a_total_time(cluster_of: Any, watched: api.Behaviour) -> None:
    with cluster_of(watched) as cluster, suppress(ServerUnreachable):
        cluster.api.timings = Timings(silence=0.3 - Timings.watch, answer=0.3)
        assert list(cluster.api.watch(Attempt("watch", PODS, "user-bob"), "1")) == []


@pytest.mark.parametrize("behave", [api.gzip_bomb(100), api.endless], ids=["bomb", "endless"])
def test_an_event_has_a_size(cluster_of: Any, behave: api.Behaviour) -> None:
    with cluster_of(behave) as cluster, pytest.raises(ServerError, match=NO_API) as refused:
        list(cluster.api.watch(Attempt("watch", PODS, "user-bob"), "1"))
    assert "more than 16 MiB" in refused.value.why


@pytest.mark.parametrize(
    "line",
    [b"[" * 200_000, b"null", b"5", b'{"type": "ADDED"}', b'{"type": "ADDED", "object": []}', b"{"],
    ids=["brackets", "null", "number", "no object", "list", "cut"],
)
def test_an_event_that_is_none_is_no_api(cluster_of: Any, line: bytes) -> None:
    with cluster_of(api.answer(line + b"\n")) as cluster, pytest.raises(ServerError, match=NO_API):
        list(cluster.api.watch(Attempt("watch", PODS, "user-bob"), "1"))


@pytest.mark.parametrize("depth", [101, 200_000])
def test_event_nesting_has_a_limit(cluster_of: Any, depth: int) -> None:
    line = b'{"type": "ADDED", "object": {"metadata": ' + b"[" * depth + b"]" * depth + b"}}"
    with cluster_of(api.answer(line + b"\n")) as cluster, pytest.raises(Expired, match=NO_API) as refused:
        list(cluster.api.watch(Attempt("watch", PODS, "user-bob"), "1"))
    assert "more than 100 levels" in refused.value.why


def test_a_token_that_is_said_back_is_hidden(cluster_of: Any) -> None:
    body = b'{"kind": "Status", "message": "canary-token is not known"}'
    with cluster_of(api.answer(body, status=b"500 No")) as cluster, pytest.raises(ServerError) as refused:
        inventory.pods(cluster)
    assert "canary" not in str(refused.value)
    assert "is not known" in refused.value.why


def test_a_long_message_is_cut(cluster_of: Any) -> None:
    body = json.dumps({"kind": "Status", "message": "x" * 1_000_000}).encode()
    with cluster_of(api.answer(body, status=b"500 No")) as cluster, pytest.raises(ServerError) as refused:
        inventory.pods(cluster)
    assert len(str(refused.value)) < 10_000
    assert "more characters" in refused.value.why


POD: dict[str, Any] = {
    "metadata": {
        "name": "a",
        "namespace": "user-bob",
        "labels": {"app": "a"},
        "annotations": {"onyxia/discovery": "postgres"},
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "r", "controller": True}],
    },
    "type": "Opaque",
    "data": {"postgres-service": "ZGI=", "password": "eA==", "username": "eA=="},
    "spec": {
        "nodeName": "n",
        "containers": [{"name": "c", "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}]}],
        "ports": [{"port": 80, "name": "http", "targetPort": 8000}],
        "selector": {"app": "a"},
        "type": "LoadBalancer",
        "clusterIP": "10.0.0.1",
        "externalIPs": ["1.2.3.4"],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.2",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "c",
                "ready": True,
                "restartCount": 1,
                "state": {"running": {"startedAt": "x"}},
                "lastState": {},
            }
        ],
        "loadBalancer": {"ingress": [{"ip": "1.2.3.5"}]},
        "userInfo": {"username": "bob", "groups": ["g"]},
        "allowed": True,
        "resourceRules": [{"resources": ["secrets"], "verbs": ["get"], "resourceNames": ["s"]}],
    },
    "subsets": [{"addresses": [{"targetRef": {"name": "a"}}], "ports": [{"port": 80}]}],
}
ODD: tuple[Any, ...] = (None, [], {}, "x", 5, True, [None], {"x": None}, -1, "\x1b")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all parts of a value."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def change(item: dict[str, Any], path: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    """Return the object with something odd in one place."""
    made = copy.deepcopy(item)
    inner: Any = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = odd
    return made


RULES: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "user-bob"},
    "rules": [{"resources": ["secrets"], "verbs": ["get"], "resourceNames": ["postgresql-1"]}],
    "subjects": [{"kind": "User", "name": "oidc-bob", "namespace": "user-bob"}],
    "roleRef": {"kind": "Role", "name": "a"},
    "spec": {
        "hard": {"pods": "10"},
        "podSelector": {
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
        },
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 5432}]}],
        "containers": [],
    },
    "status": {"used": {"pods": "10"}, "conditions": [{"type": "Ready", "status": "False"}]},
    "subsets": [{"addresses": [], "notReadyAddresses": [{"ip": "1.2.3.4", "targetRef": {"name": "a"}}]}],
}
DATABASE = discovery.Database("a", "user-bob", "postgres", "a-rw", 5432)
QUESTIONS: dict[str, tuple[Callable[[Cluster], object], ...]] = {
    "pod": (
        lambda cluster: repr(tables.pod_table(inventory.pods(cluster))),
        lambda cluster: tables.service_table(inventory.services(cluster))._repr_html_(),
        lambda cluster: object_reads.secret(cluster, "s"),
        lambda cluster: repr(discovery.database_table(discovery.databases(cluster))),
        lambda cluster: resolve.resolve(cluster, "a"),
        lambda cluster: str(who_am_i(cluster)),
        lambda cluster: may(cluster, "get", PODS),
        lambda cluster: secrets_by_name(cluster, "user-bob"),
        list_shares,
        relay.sweep,
    ),
    "rules": (
        lambda cluster: list(permission_checks.quota(patient_of(cluster))),
        lambda cluster: list(known_issues.bindings(patient_of(cluster))),
        lambda cluster: list(known_issues.database(patient_of(cluster))),
        lambda cluster: list(target_checks._pods(patient_of(cluster), Target("user-bob", "service", "a"))),
        lambda cluster: list(target_checks._pods(patient_of(cluster), Target("user-bob", "pod", "a"))),
        lambda cluster: plan.read_prefix(cluster, "user-bob"),
        lambda cluster: advisories.describe_network(cluster, DATABASE, {"a": "b"}, ["user-eve"], ()),
    ),
}


def patient_of(cluster: Cluster) -> DoctorContext:
    found = DoctorContext(lambda: cluster, lambda: None, None, None, {}, cluster=cluster)  # type: ignore[arg-type,return-value]  # no forward
    found.database = DATABASE
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "path"),
    [("pod", path) for path in places(POD)] + [("rules", path) for path in places(RULES)],
    ids=lambda path: path if isinstance(path, str) else ".".join(map(str, path)),
)
def test_an_odd_object_raises_no_bare_error(cluster_of: Any, kind: str, path: tuple[Any, ...]) -> None:
    told: dict[str, Any] = {}

    def behave(client: Any) -> None:
        api.json_answer(told)(client)

    with cluster_of(behave) as cluster:
        for odd in ODD:
            item = change({"pod": POD, "rules": RULES}[kind], path, odd)
            told = {**item, "items": [item]}
            for question in QUESTIONS[kind]:
                with suppress(SspcloudError):
                    question(cluster)


def test_defect_is_told_as_itself(cluster_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are not part of reading objects: their errors are defects of the package."""

    def defect(*_: object, **__: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr("sspcloud_magics.cluster.api.client.proxy_for", defect)
    with cluster_of(api.json_answer({"items": []})) as cluster:
        for question in (question for questions in QUESTIONS.values() for question in questions):
            with pytest.raises(ValueError, match="a defect"):
                question(cluster)


def test_a_server_that_recovers_is_used_again(cluster_of: Any) -> None:
    answer = api.gzip_bomb(200)

    def behave(client: Any) -> None:
        answer(client)

    with cluster_of(behave) as cluster:
        with pytest.raises(ClusterError):
            inventory.pods(cluster)
        answer = api.json_answer({"items": []})
        assert inventory.pods(cluster) == []
        assert isinstance(cluster, Cluster)
