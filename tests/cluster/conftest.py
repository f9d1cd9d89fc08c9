"""A real HTTPS server with the answers of an API server, and kubeconfigs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from tests.support.api_server import ApiServer, serve


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def api(authority: trustme.CA) -> Iterator[ApiServer]:
    with serve(ApiServer(authority)) as server:
        yield server


@pytest.fixture
def cluster(api: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    """Bob, with a token, in his namespace."""
    token = tmp_path / "token"
    token.write_text("bobs-token\n")
    found = find_cluster(
        server=api.url, token_file=token, ca_file=api.ca_file(tmp_path), namespace="user-bob", environ={}
    )
    yield found
    found.close()


@pytest.fixture
def write_kubeconfig(tmp_path: Path) -> Callable[..., Path]:
    """Write a kubeconfig of one context, ``here``."""

    def write(
        *,
        cluster: dict[str, Any] | None = None,
        user: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
        name: str = "config",
        entry: str = "here",
    ) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": entry,
            "clusters": [{"name": entry, "cluster": cluster or {"server": "https://api.example:6443"}}],
            "users": [{"name": entry, "user": {"token": "a-token"} if user is None else user}],
            "contexts": [{"name": entry, "context": {"cluster": entry, "user": entry} | (context or {})}],
        }
        file.write_text(yaml.safe_dump(document))
        return file

    return write
