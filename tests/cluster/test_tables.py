from __future__ import annotations

import dataclasses
import pickle
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from sspcloud_magics.cluster.workloads.inventory import Pod, Service
from sspcloud_magics.cluster.workloads.tables import (
    MOST_ROWS,
    ResourceTable,
    Tone,
    pod_table,
    pod_tone,
    service_table,
)


def pod(name: str = "p", namespace: str = "user-bob", *, hours: float = 5, **more: Any) -> Pod:
    base = Pod.from_object({"metadata": {"name": name, "namespace": namespace}})
    values = {"ready": "1/1", "status": "Running", "created": datetime.now(UTC) - timedelta(hours=hours)}
    return dataclasses.replace(base, **values | more)


@pytest.fixture
def table() -> ResourceTable:
    crashing = pod(
        "crash",
        ready="0/1",
        status="CrashLoopBackOff",
        restarts=4,
        # Below ten minutes the seconds are shown, too.
        last_restart=datetime.now(UTC) - timedelta(minutes=25),
        node="node-1",
    )
    return pod_table([pod("calm"), crashing])


def test_as_text_it_looks_like_kubectls(table: ResourceTable) -> None:
    assert repr(table).splitlines() == [
        "NAME    READY   STATUS             RESTARTS      AGE   PORTS   NODE",
        "calm    1/1     Running            0             5h            <none>",
        "crash   0/1     CrashLoopBackOff   4 (25m ago)   5h            node-1",
    ]


def test_table_is_a_data_frame_with_dtypes(table: ResourceTable) -> None:
    assert isinstance(table, pd.DataFrame)
    assert table.dtypes["restarts"] == "int64"
    assert table.dtypes["age"] == "timedelta64[us]"
    assert str(table.dtypes["last_restart"]) == "datetime64[us, UTC]"
    assert table.loc[table.restarts > 3, "name"].tolist() == ["crash"]
    assert (table.age > timedelta(hours=4)).all()


def test_an_empty_table_keeps_its_dtypes_and_says_so(table: ResourceTable) -> None:
    empty = pod_table([], "user-bob")
    assert empty.dtypes.equals(table.dtypes)
    assert repr(empty) == "No resources found in user-bob namespace."
    assert empty._repr_html_() == "<p>No resources found in user-bob namespace.</p>"


def test_an_empty_table_says_what_was_looked_for() -> None:
    """`%k8s_pods user-alice` names a pod, although the user means a namespace."""
    assert repr(pod_table([], "user-bob", "user-alice")) == (
        "No resources like 'user-alice' found in user-bob namespace. For another namespace, add -n NAMESPACE."
    )
    assert repr(service_table([], "", "api")) == "No resources like 'api' found."


def test_a_filtered_or_sorted_table_looks_the_same(table: ResourceTable) -> None:
    assert repr(table[table.status == "Running"]).splitlines()[1].startswith("calm")
    assert repr(table.sort_values("name", ascending=False)).splitlines()[1].startswith("crash")
    assert repr(pickle.loads(pickle.dumps(table))) == repr(table)  # noqa: S301 - its own


def test_what_the_user_chooses_or_adds_is_shown(table: ResourceTable) -> None:
    assert repr(table[["name", "ip"]]).splitlines()[0].split() == ["NAME", "IP"]
    assert "TEAM" in repr(table.assign(team="x"))


def test_what_has_its_own_index_is_shown_by_pandas(table: ResourceTable) -> None:
    counted = table.groupby("status")[["restarts"]].sum()
    assert repr(counted) == repr(pd.DataFrame(counted))
    assert "count" in repr(table.describe())
    assert "<table" in table.set_index("name")._repr_html_()


def test_namespace_is_shown_where_there_are_several() -> None:
    assert "NAMESPACE" not in repr(pod_table([pod("a"), pod("b")]))
    assert repr(pod_table([pod("a"), pod("b", "user-x")])).startswith("NAMESPACE")


def test_a_state_has_a_word_a_shape_and_a_colour(table: ResourceTable) -> None:
    html = table._repr_html_()
    for tone, word in ((Tone.GOOD, "Running"), (Tone.BAD, "CrashLoopBackOff")):
        mark, colour = tone.value
        assert f'style="color:{colour}">{mark}</span> {word}' in html
    # A colour that JupyterLab does not set has a fallback.
    assert not re.search(r"var\(--[a-z0-9-]+\)", html)


@pytest.mark.parametrize(
    ("status", "ready", "tone"),
    [
        ("Running", "1/1", Tone.GOOD),
        ("Running", "0/1", Tone.WAITING),
        ("Completed", "0/1", Tone.OVER),
        ("ContainerCreating", "0/1", Tone.WAITING),
        ("Init:0/1", "0/1", Tone.WAITING),
        ("Init:Error", "0/1", Tone.BAD),
        ("Terminating", "1/1", Tone.WAITING),
        ("ErrImagePull", "0/1", Tone.BAD),
        ("OOMKilled", "0/1", Tone.BAD),
        ("Evicted", "0/1", Tone.BAD),
    ],
)
def test_states_have_tones(status: str, ready: str, tone: Tone) -> None:
    assert pod_tone({"status": status, "ready": ready}) is tone


def test_what_comes_from_the_cluster_is_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>"
    html = pod_table([pod(evil, status=evil, node=evil)])._repr_html_()
    assert "<img" not in html
    assert html.count("&lt;img") == 3
    assert "<img" not in pod_table([], evil)._repr_html_()


def test_long_table_is_shown_in_part_and_kept_whole() -> None:
    table = pod_table([pod(f"p-{number}") for number in range(MOST_ROWS + 7)])
    assert len(table) == MOST_ROWS + 7
    assert repr(table).endswith("… and 7 more")
    assert "… and 7 more" in table._repr_html_()


def test_services_are_shown_too() -> None:
    item = {
        "metadata": {"name": "mon-api", "namespace": "user-bob"},
        "spec": {"clusterIP": "10.43.0.9", "ports": [{"port": 80, "name": "http", "targetPort": 8000}]},
    }
    table = service_table([Service.from_object(item)])
    assert [line.split() for line in repr(table).splitlines()] == [
        ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORTS", "AGE"],
        ["mon-api", "ClusterIP", "10.43.0.9", "<none>", "80→8000", "(http)", "<unknown>"],
    ]
    assert service_table([]).dtypes.equals(table.dtypes)


def test_column_changed_by_the_user_is_shown_as_is(table: ResourceTable) -> None:
    assert "7" in repr(table.drop(columns="last_restart").assign(age=7))
