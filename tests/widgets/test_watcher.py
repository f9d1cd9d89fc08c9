"""Watchers of the panel, with a server that sends malformed objects."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme

from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.widgets.watcher import ResourceWatcher
from tests.support.api_server import ApiServer, Asked, serve

SECONDS = 20.0


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with serve(ApiServer(trustme.CA())) as server:
        yield server


@pytest.fixture
def cluster(api: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    token = tmp_path / "token"
    token.write_text("bobs-token\n")
    with closing(
        find_cluster(server=api.url, token_file=token, ca_file=api.ca_file(tmp_path), environ={})
    ) as one:
        yield one


def test_odd_pod_does_not_hide_the_others(api: ApiServer, cluster: Cluster) -> None:
    watched = threading.Event()

    def answer(asked: Asked) -> Any:
        if "watch" in asked.query:
            watched.set()
            return 200, "application/json", b""
        items = [
            {"metadata": {"name": "odd"}, "spec": {"containers": 7}},
            {"metadata": {"name": "fine"}, "spec": {}},
        ]
        return {"metadata": {"resourceVersion": "1"}, "items": items}

    api.answers["/api/v1/namespaces/default/pods"] = answer
    follower = ResourceWatcher(cluster, "pods", {})
    assert watched.wait(SECONDS)
    follower.close()
    follower.join()
    assert follower.snapshot["source/pods"] is True
    assert {key for key in follower.snapshot if key.startswith("pod/")} == {"pod/fine"}
