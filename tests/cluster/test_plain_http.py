"""Servers without TLS, such as ``kubectl proxy``: they are used, and get no credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from sspcloud_magics.cluster.api.resources import PODS
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.cluster.requests.object_reads import list_objects
from sspcloud_magics.cluster.requests.permissions import who_am_i
from sspcloud_magics.errors import KubeconfigInvalid, NotLoggedIn
from tests.support.api_server import ApiServer, serve

PATH = "/api/v1/namespaces/default/pods"
ME = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
V1 = "client.authentication.k8s.io/v1"


@pytest.fixture
def plain(authority: trustme.CA) -> Iterator[ApiServer]:
    answers = {PATH: {"items": []}, ME: {"status": {}}}
    with serve(ApiServer(authority, answers=answers), tls=False) as server:
        yield server


@pytest.mark.parametrize(
    "user",
    [
        {"token": "canary"},
        {"tokenFile": "no-such-file"},
        {"exec": {"apiVersion": V1, "command": "./no-such-command"}},
        {"auth-provider": {"name": "oidc", "config": {"id-token": "a.canary.c"}}},
    ],
    ids=lambda user: next(iter(user)),
)
def test_no_credentials_go_in_clear(
    plain: ApiServer, write_kubeconfig: Callable[..., Path], user: dict[str, Any]
) -> None:
    cluster = find_cluster(kubeconfig=write_kubeconfig(cluster={"server": plain.url}, user=user), environ={})
    list_objects(cluster, PODS)
    assert [asked.token for asked in plain.asked] == [""]
    assert "http://" in who_am_i(cluster).warning
    assert cluster.expiry().ends is None
    cluster.close()


def test_a_setting_sends_them(
    plain: ApiServer, write_kubeconfig: Callable[..., Path], tmp_path: Path
) -> None:
    file = write_kubeconfig(cluster={"server": plain.url}, user={"token": "canary"})
    cluster = find_cluster(kubeconfig=file, environ={}, credentials_without_tls=True)
    list_objects(cluster, PODS)
    cluster.close()
    (tmp_path / "token").write_text("canary")
    named = find_cluster(
        server=plain.url, token_file=tmp_path / "token", environ={}, credentials_without_tls=True
    )
    list_objects(named, PODS)
    named.close()
    assert [asked.token for asked in plain.asked] == ["canary", "canary"]


def test_a_token_file_for_a_plain_server_is_refused(plain: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary")
    with pytest.raises(KubeconfigInvalid, match="No token is sent") as refused:
        find_cluster(server=plain.url, token_file=tmp_path / "token", environ={})
    assert "credentials_without_tls" in refused.value.hint


def test_a_server_that_wants_them_is_told_apart(
    plain: ApiServer, write_kubeconfig: Callable[..., Path]
) -> None:
    plain.tokens = {"canary"}
    file = write_kubeconfig(cluster={"server": plain.url}, user={"token": "canary"})
    cluster = find_cluster(kubeconfig=file, environ={})
    with pytest.raises(NotLoggedIn, match="none were sent"):
        list_objects(cluster, PODS)
    cluster.close()


@pytest.mark.parametrize("tls", [True, False])
def test_a_context_without_a_user_is_anonymous(
    plain: ApiServer, api: ApiServer, write_kubeconfig: Callable[..., Path], tmp_path: Path, tls: bool
) -> None:
    server = api if tls else plain
    server.answers |= plain.answers
    here: dict[str, Any] = {"server": server.url}
    if tls:
        here["certificate-authority"] = str(api.ca_file(tmp_path))
    cluster = find_cluster(kubeconfig=write_kubeconfig(cluster=here, context={"user": ""}), environ={})
    assert list_objects(cluster, PODS) == []
    assert [asked.token for asked in server.asked] == [""]
    server.tokens = {"another"}
    with pytest.raises(NotLoggedIn, match="names no user"):
        list_objects(cluster, PODS)
    cluster.close()
