"""The client against a real HTTPS server: its requests, and the errors for failures."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme

from sspcloud_magics.cluster.api import api_errors
from sspcloud_magics.cluster.api.client import Timings
from sspcloud_magics.cluster.api.resources import DEPLOYMENTS, PODS, ROLES, SECRETS, Attempt
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests.object_reads import get_object, list_objects, secret, secrets
from sspcloud_magics.errors import (
    CertificateNotTrusted,
    ClusterError,
    Forbidden,
    KubeconfigInvalid,
    ServerError,
    ServerUnreachable,
    TokenExpired,
    UsageProblem,
)
from sspcloud_magics.secret import Secret
from tests.support.api_server import ApiServer, Asked, status
from tests.support.ports import free_port

PODS_PATH = "/api/v1/namespaces/user-bob/pods"


def pod_list(*names: str, more: str = "") -> dict[str, object]:
    items = [{"metadata": {"name": name, "namespace": "user-bob"}} for name in names]
    return {"kind": "PodList", "metadata": {"continue": more} if more else {}, "items": items}


def names(objects: list[dict[str, dict[str, str]]]) -> list[str]:
    return [item["metadata"]["name"] for item in objects]


def test_a_request_carries_the_token_and_asks_for_json(api: ApiServer, cluster: Cluster) -> None:
    api.answers[PODS_PATH] = pod_list("a", "b")
    assert names(list_objects(cluster, PODS)) == ["a", "b"]
    assert [(asked.method, asked.path, asked.token) for asked in api.asked] == [
        ("GET", PODS_PATH, "bobs-token")
    ]


def test_connections_are_kept(api: ApiServer, cluster: Cluster) -> None:
    api.answers[PODS_PATH] = pod_list()
    for _ in range(3):
        list_objects(cluster, PODS)
    assert len({asked.connection for asked in api.asked}) == 1


def test_connection_closed_while_idle_is_no_failure(api: ApiServer, cluster: Cluster) -> None:
    api.answers[PODS_PATH] = pod_list("a")
    api.close_idle = True
    for _ in range(3):
        assert names(list_objects(cluster, PODS)) == ["a"]


def test_kept_connection_that_breaks_is_no_failure(api: ApiServer, cluster: Cluster) -> None:
    api.answers[PODS_PATH] = pod_list("a")
    api.drop_kept = True
    for _ in range(3):
        assert names(list_objects(cluster, PODS)) == ["a"]
    assert len(api.asked) == 3


def test_writing_request_is_not_sent_twice(api: ApiServer, cluster: Cluster) -> None:
    create = Attempt("create", PODS, "user-bob")
    api.answers[PODS_PATH] = pod_list()
    api.drop_kept = True
    cluster.api.ask(create, body={})
    with pytest.raises(ServerUnreachable):
        cluster.api.ask(create, body={})


def test_long_lists_come_page_by_page(api: ApiServer, cluster: Cluster) -> None:
    pages = {"": pod_list("a", "b", more="next"), "next": pod_list("c", more="last"), "last": pod_list("d")}
    api.answers[PODS_PATH] = lambda asked: pages[asked.query.get("continue", [""])[0]]
    assert names(list_objects(cluster, PODS)) == ["a", "b", "c", "d"]
    assert [asked.query["limit"] for asked in api.asked] == [["500"]] * 3


def test_list_with_expired_pages_is_read_again_whole(api: ApiServer, cluster: Cluster) -> None:
    def answer(asked: object) -> object:
        query = api.asked[-1].query
        if "continue" in query:
            return status(410, "The provided continue parameter is too old")
        return pod_list("a", more="old") if "limit" in query else pod_list("a", "b")

    api.answers[PODS_PATH] = answer
    assert names(list_objects(cluster, PODS)) == ["a", "b"]


def test_selectors_and_other_namespaces(api: ApiServer, cluster: Cluster) -> None:
    api.answers["/api/v1/pods"] = pod_list()
    api.answers["/apis/apps/v1/namespaces/user-alice/deployments"] = pod_list()
    list_objects(cluster, PODS, "*", label_selector="app=x", field_selector="metadata.name=y")
    list_objects(cluster, DEPLOYMENTS, "user-alice")
    assert api.asked[0].query == {
        "limit": ["500"],
        "labelSelector": ["app=x"],
        "fieldSelector": ["metadata.name=y"],
    }


@pytest.mark.parametrize("name", [".", "..", "../secrets/x", "a%2fb"])
def test_names_cannot_lead_elsewhere(api: ApiServer, cluster: Cluster, name: str) -> None:
    with pytest.raises(UsageProblem, match="not a name"):
        get_object(cluster, PODS, name)
    with pytest.raises(UsageProblem, match="not a name"):
        list_objects(cluster, PODS, name)
    assert not api.asked


def test_name_is_quoted_in_the_path(api: ApiServer, cluster: Cluster) -> None:
    with pytest.raises(api_errors.NotFound):
        get_object(cluster, PODS, "x?a=b")
    assert api.asked[0].path == f"{PODS_PATH}/x%3Fa%3Db"


def test_after_a_401_the_token_is_read_again_once(api: ApiServer, cluster: Cluster, tmp_path: Path) -> None:
    api.answers[PODS_PATH] = pod_list("a")
    list_objects(cluster, PODS)
    api.tokens = {"a-new-token"}

    def rotate(_asked: object) -> object:
        return pod_list("a")

    api.answers[PODS_PATH] = rotate
    with pytest.raises(TokenExpired):
        list_objects(cluster, PODS)
    (tmp_path / "token").write_text("a-new-token")
    assert names(list_objects(cluster, PODS)) == ["a"]


def test_token_renewed_in_a_request_costs_one_retry(
    api: ApiServer, write_kubeconfig: Callable[..., Path]
) -> None:
    here = {"server": api.url, "certificate-authority-data": base64.b64encode(api.ca_pem.encode()).decode()}
    cluster = find_cluster(kubeconfig=write_kubeconfig(cluster=here, user={"token": "old"}), environ={})
    api.answers["/api/v1/namespaces/default/pods"] = pod_list("a")
    api.tokens = {"new"}
    write_kubeconfig(cluster=here, user={"token": "new"})
    assert names(list_objects(cluster, PODS)) == ["a"]
    assert [asked.token for asked in api.asked] == ["old", "new"]
    cluster.close()


def test_a_refused_token_is_never_shown(api: ApiServer, cluster: Cluster) -> None:
    api.tokens = set()
    with pytest.raises(TokenExpired) as caught:
        list_objects(cluster, PODS)
    assert "bobs-token" not in f"{caught.value}{caught.value!r}{caught.value.to_wire()}"
    assert caught.value.hint


def test_a_client_certificate_is_presented(
    api: ApiServer, authority: trustme.CA, write_kubeconfig: Callable[..., Path]
) -> None:
    mine = authority.issue_cert("bob@example", organization_unit_name="bobs-unit")

    def b64(data: bytes) -> str:
        return base64.b64encode(data).decode()

    file = write_kubeconfig(
        cluster={"server": api.url, "certificate-authority-data": b64(api.ca_pem.encode())},
        user={
            "client-certificate-data": b64(mine.cert_chain_pems[0].bytes()),
            "client-key-data": b64(mine.private_key_pem.bytes()),
        },
    )
    cluster = find_cluster(kubeconfig=file, environ={})
    api.answers["/api/v1/namespaces/default/pods"] = pod_list()
    list_objects(cluster, PODS)
    assert (api.asked[0].client, api.asked[0].token) == ("bobs-unit", "")
    cluster.close()


def test_certificate_of_another_authority_is_refused(api: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    stranger = ApiServer(trustme.CA()).ca_file(tmp_path)
    for ca_file in (stranger, None):
        cluster = find_cluster(server=api.url, token_file=token, ca_file=ca_file, environ={})
        with pytest.raises(CertificateNotTrusted) as caught:
            list_objects(cluster, PODS)
        assert api.url in str(caught.value)
        assert "ca_file" in caught.value.hint
    assert api.asked == []


def test_certificate_for_another_name_needs_the_name(
    api: ApiServer, write_kubeconfig: Callable[..., Path]
) -> None:
    ca = base64.b64encode(api.ca_pem.encode()).decode()
    # 127.0.0.2 is loopback too, and not in the certificate.
    here = {"server": api.url.replace("127.0.0.1", "localhost"), "certificate-authority-data": ca}
    api.answers["/api/v1/namespaces/default/pods"] = pod_list()
    for name, trusted in (("api.example", True), ("other.example", False)):
        file = write_kubeconfig(cluster=here | {"tls-server-name": name})
        cluster = find_cluster(kubeconfig=file, environ={})
        if trusted:
            assert list_objects(cluster, PODS) == []
        else:
            with pytest.raises(CertificateNotTrusted, match=r"other\.example"):
                list_objects(cluster, PODS)
        cluster.close()


def test_insecure_is_obeyed(api: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    cluster = find_cluster(server=api.url, token_file=token, insecure_skip_tls_verify=True, environ={})
    api.answers["/api/v1/namespaces/default/pods"] = pod_list()
    assert list_objects(cluster, PODS) == []
    cluster.close()


def test_an_authority_that_is_no_certificate(api: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    (tmp_path / "ca").write_text("this is no PEM")
    cluster = find_cluster(server=api.url, token_file=tmp_path / "token", ca_file=tmp_path / "ca", environ={})
    with pytest.raises(KubeconfigInvalid, match="certificate authority cannot be read"):
        list_objects(cluster, PODS)


def test_a_key_that_does_not_belong_to_its_certificate(
    api: ApiServer, authority: trustme.CA, write_kubeconfig: Callable[..., Path]
) -> None:
    one, other = authority.issue_cert("one@example"), authority.issue_cert("other@example")
    user = {
        "client-certificate-data": base64.b64encode(one.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(other.private_key_pem.bytes()).decode(),
    }
    cluster = find_cluster(kubeconfig=write_kubeconfig(cluster={"server": api.url}, user=user), environ={})
    with pytest.raises(KubeconfigInvalid, match="client certificate and its key cannot be used") as caught:
        list_objects(cluster, PODS)
    assert "PRIVATE KEY" not in str(caught.value)


def elsewhere(url: str, tmp_path: Path, **more: bool) -> Cluster:
    (tmp_path / "token").write_text("x")
    return find_cluster(server=url, token_file=tmp_path / "token", environ={}, **more)


def test_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match="connection refused") as caught:
        list_objects(elsewhere(f"https://127.0.0.1:{free_port()}", tmp_path), PODS)
    assert "open forwards and connections stay open" in str(caught.value)


def test_unknown_host_name_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match="name is not known"):
        list_objects(elsewhere("https://no-such-host.invalid", tmp_path), PODS)


@pytest.fixture
def line_server() -> Iterator[Callable[[bytes], int]]:
    """Listen, answer whatever comes with the same bytes, and close."""
    listeners: list[socket.socket] = []

    def listen(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)
            except OSError:
                return

        threading.Thread(target=run, daemon=True).start()
        return int(listener.getsockname()[1])

    yield listen
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_server_that_speaks_no_tls(line_server: Callable[[bytes], int], tmp_path: Path) -> None:
    port = line_server(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ServerUnreachable, match="TLS"):
        list_objects(elsewhere(f"https://127.0.0.1:{port}", tmp_path), PODS)


def test_server_that_hangs_up_is_asked_twice_only(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[bytes] = []

        def hang_up() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    accepted.append(connection.recv(65536))
                if accepted[-1] == b"the end":
                    return

        thread = threading.Thread(target=hang_up)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(ServerUnreachable):
            list_objects(elsewhere(f"http://127.0.0.1:{port}", tmp_path, credentials_without_tls=True), PODS)
        with socket.create_connection(("127.0.0.1", port)) as last:
            last.sendall(b"the end")
        thread.join()
    assert len(accepted) == 3


@pytest.mark.parametrize(
    ("code", "kind", "body"),
    [
        (200, "text/html", b"<html>Please log in</html>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b"{"),
        (302, "text/html", b"<html>moved</html>"),
        (403, "text/html; charset=utf-8", b"<html>blocked by the firewall</html>"),
        (407, "text/html", b"<html>proxy</html>"),
        (502, "text/html", b"<html>bad gateway</html>"),
        (503, "text/plain", b"<html>liar</html>"),
        (404, "application/json", b"not json"),
    ],
)
def test_a_page_in_the_place_of_the_api(
    api: ApiServer, cluster: Cluster, code: int, kind: str, body: bytes
) -> None:
    api.answers[PODS_PATH] = (code, kind, body)
    with pytest.raises(ServerError, match="did not answer as a Kubernetes API server does") as caught:
        list_objects(cluster, PODS)
    assert "HTTPS_PROXY" in caught.value.hint
    assert "html" not in caught.value.what


def test_redirect_told_with_where_it_leads(api: ApiServer, cluster: Cluster) -> None:
    api.answers[PODS_PATH] = (302, "text/html", b"<html>moved</html>")
    api.headers["Location"] = "https://ana:secret@sso.example/login?state=also-secret"
    with pytest.raises(ServerError, match="is not the address of the API server") as caught:
        list_objects(cluster, PODS)
    assert "https://sso.example/login" in caught.value.why
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["/k8s/clusters/c-m-1", "/k8s/clusters/c%3Am%2F1", "/k8s/a%20b/"])
def test_address_with_a_path_kept_as_it_is(api: ApiServer, tmp_path: Path, prefix: str) -> None:
    token = tmp_path / "token"
    token.write_text("bobs-token")
    api.answers[prefix.rstrip("/") + PODS_PATH] = pod_list("a")
    with closing(
        find_cluster(
            server=api.url + prefix,
            token_file=token,
            ca_file=api.ca_file(tmp_path),
            namespace="user-bob",
            environ={},
        )
    ) as found:
        assert names(list_objects(found, PODS)) == ["a"]


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (429, ServerError, "busy"),
        (500, ServerError, "500"),
        (503, ServerError, "etcd is away"),
        (409, ServerError, "409"),
    ],
)
def test_other_refusals_quote_the_server(
    api: ApiServer, cluster: Cluster, code: int, error: type[ClusterError], says: str
) -> None:
    api.answers[PODS_PATH] = status(code, "etcd is away")
    with pytest.raises(error, match=says) as caught:
        list_objects(cluster, PODS)
    assert "etcd is away" in str(caught.value)


def test_missing_right_has_verb_resource_and_namespace(api: ApiServer, cluster: Cluster) -> None:
    api.forbidden.add("/api/v1/namespaces/user-alice/pods")
    with pytest.raises(Forbidden) as caught:
        list_objects(cluster, PODS, "user-alice")
    assert caught.value.what == "You may not list pods in user-alice."
    assert 'User "oidc-bob" cannot' in caught.value.why
    assert "the owner of user-alice" in caught.value.hint


def busy(api: ApiServer, after: str, *codes: int) -> list[int]:
    """Answer with all `codes`, then with a list; return the list of the refusals."""
    said: list[int] = []

    def answer(_asked: Asked) -> Any:
        if len(said) == len(codes):
            return pod_list("a")
        said.append(codes[len(said)])
        return status(said[-1], "too many requests, please try again later")

    api.answers[PODS_PATH] = answer
    api.headers["Retry-After"] = after
    return said


def test_busy_server_asked_again_when_it_says(api: ApiServer, cluster: Cluster) -> None:
    said = busy(api, "0", 429, 500, 503)
    assert names(list_objects(cluster, PODS)) == ["a"]
    assert said == [429, 500, 503]


@pytest.mark.parametrize("after", ["3600", "", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_busy_server_not_waited_for_long(api: ApiServer, cluster: Cluster, after: str) -> None:
    said = busy(api, after, 503, 503)
    with pytest.raises(ServerError):
        list_objects(cluster, PODS)
    assert said == [503]


def readiness(api: ApiServer, *codes: int) -> list[int]:
    """Refuse everything until ``/readyz`` has been answered with all `codes`; return the list of the answers."""
    said: list[int] = []

    def answer(_asked: Asked) -> tuple[int, str, bytes]:
        said.append(codes[len(said)])
        if len(said) == len(codes):
            api.forbidden.clear()
        return said[-1], "text/plain", b"ok" if said[-1] == 200 else b"[-]rbac/bootstrap-roles failed"

    api.forbidden.add(PODS_PATH)
    api.answers["/readyz"] = answer
    api.answers[PODS_PATH] = pod_list("a")
    return said


@pytest.mark.parametrize("codes", [(200,), (500, 200), (503, 500, 200)])
def test_starting_server_is_waited_for(api: ApiServer, cluster: Cluster, codes: tuple[int, ...]) -> None:
    said = readiness(api, *codes)
    assert names(list_objects(cluster, PODS)) == ["a"]
    assert tuple(said) == codes
    assert {asked.token for asked in api.asked} == {"bobs-token"}


def test_server_that_stays_unready_no_missing_right(api: ApiServer, cluster: Cluster) -> None:
    cluster.api.timings = Timings(starting=0.0)
    readiness(api, 500, 500)
    with pytest.raises(ServerError) as caught:
        list_objects(cluster, PODS)
    assert caught.value.what == "The API server is starting."


@pytest.mark.parametrize("code", [401, 403, 404])
def test_without_readyz_refusal_is_doubted(api: ApiServer, cluster: Cluster, code: int) -> None:
    said = readiness(api, code, code)
    assert names(list_objects(cluster, PODS)) == ["a"]
    assert said == [code, code]


@pytest.mark.parametrize("code", [401, 403, 404])
def test_without_readyz_refusal_believed_in_the_end(api: ApiServer, cluster: Cluster, code: int) -> None:
    """The next one is believed at once: ten forbidden requests must not take minutes."""
    cluster.api.timings = Timings(starting=0.0)
    said = readiness(api, code, 200)
    for _ in range(2):
        with pytest.raises(Forbidden):
            list_objects(cluster, PODS)
    assert said == [code]


@pytest.mark.parametrize("code", [401, 403, 404])
def test_refusal_of_long_ago_not_believed(api: ApiServer, cluster: Cluster, code: int) -> None:
    """The server was starting until it was too late to ask whether it is ready."""
    cluster.api.timings = Timings(starting=0.0)
    said = readiness(api, code)
    assert names(list_objects(cluster, PODS)) == ["a"]
    assert said == [code]


def test_refusal_believed_just_after_success(api: ApiServer, cluster: Cluster) -> None:
    said = readiness(api, 200)
    api.answers["/api/v1/namespaces/user-bob/pods/a"] = {"metadata": {"name": "a"}}
    get_object(cluster, PODS, "a")
    with pytest.raises(Forbidden):
        list_objects(cluster, PODS)
    assert said == []


@pytest.mark.parametrize(
    ("attempt", "role"),
    [
        (Attempt("list", PODS, "user-bob"), "view"),
        (Attempt("get", SECRETS, "user-bob", "x"), "edit"),
        (Attempt("create", PODS, "user-bob", "x", "portforward"), "edit"),
        (Attempt("get", PODS, "user-bob", "x", "portforward"), "edit"),
        (Attempt("list", ROLES, "user-bob"), "admin"),
        (Attempt("create", ROLES, "user-bob"), "admin"),
    ],
)
def test_error_in_a_service_links_to_its_relaunch(attempt: Attempt, role: str) -> None:
    code, kind, body = status(403, "forbidden")
    error = api_errors.from_answer(code, kind, body, attempt, server="s", in_service=True, own=True)
    assert f"kubernetes.role=%C2%AB{role}%C2%BB" in error.hint
    elsewhere = api_errors.from_answer(code, kind, body, attempt, server="s", in_service=True, own=False)
    assert "launcher" not in elsewhere.hint


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (
            'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2',
            "You may not create the pod x in user-bob: the namespace's quota is used up.",
        ),
        (
            'pods "x" is forbidden: failed quota: compute: must specify limits.cpu for: main',
            "You may not create the pod x in user-bob: a rule of the cluster forbids it.",
        ),
        (
            'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
            "You may not create the pod x in user-bob: a rule of the cluster forbids it.",
        ),
        (
            'pods "x" is forbidden: maximum cpu usage per Container is 2, but limit is 4',
            "You may not create the pod x in user-bob: a rule of the cluster forbids it.",
        ),
        (
            'pods is forbidden: User "bob" cannot create resource "pods" in API group "" in the namespace "user-bob"',
            "You may not create the pod x in user-bob.",
        ),
        ('pods "x" is forbidden: ', "You may not create the pod x in user-bob."),
    ],
)
def test_refusal_by_a_rule_is_no_missing_right(message: str, what: str) -> None:
    attempt = Attempt("create", PODS, "user-bob", "x")
    code, kind, body = status(403, message)
    error = api_errors.from_answer(code, kind, body, attempt, server="s", in_service=True, own=True)
    assert isinstance(error, Forbidden)
    assert error.what == what
    assert ("relaunch" in error.hint) == (":" not in what)


def test_anonymous_user_is_told_to_log_in() -> None:
    code, kind, body = status(403, 'pods is forbidden: User "system:anonymous" cannot list resource "pods"')
    error = api_errors.from_answer(
        code, kind, body, Attempt("list", PODS, "x"), server="s", in_service=False, own=True
    )
    assert "log in again" in error.hint


def test_all_namespaces_are_for_administrators() -> None:
    code, kind, body = status(403, "forbidden")
    error = api_errors.from_answer(
        code, kind, body, Attempt("list", PODS), server="s", in_service=True, own=False
    )
    assert error.what == "You may not list pods in all namespaces."
    assert "name a namespace" in error.hint


def test_secrets_hide_their_values(api: ApiServer, cluster: Cluster) -> None:
    item = {
        "metadata": {"name": "s", "namespace": "user-bob", "annotations": {"onyxia/discovery": "postgres"}},
        "type": "Opaque",
        "data": {"password": base64.b64encode(b"secret-canary").decode(), "port": "5432", "odd": "%%"},
    }
    api.answers["/api/v1/namespaces/user-bob/secrets"] = {"items": [item]}
    api.answers["/api/v1/namespaces/user-bob/secrets/s"] = item
    [found] = secrets(cluster)
    assert found == secret(cluster, "s")
    assert found.annotations == {"onyxia/discovery": "postgres"}
    assert found.value("password") == Secret("secret-canary")
    assert found.value("missing") is None
    assert found.value("odd") is None
    assert found.raw["port"] == Secret("5432")
    assert "canary" not in repr(found)
    assert base64.b64encode(b"secret-canary").decode() not in repr(found)
    assert secret(cluster, "none") is None


def test_requests_use_the_proxy_of_the_kubeconfig(
    api: ApiServer, write_kubeconfig: Callable[..., Path], line_server: Callable[[bytes], int]
) -> None:
    port = line_server(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    file = write_kubeconfig(cluster={"server": api.url, "proxy-url": f"http://127.0.0.1:{port}"})
    with pytest.raises(ServerUnreachable, match="proxy"):
        list_objects(find_cluster(kubeconfig=file, environ={}), PODS)
    assert api.asked == []


def test_a_tunnelling_proxy_carries_the_request(
    api: ApiServer, write_kubeconfig: Callable[..., Path]
) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            client, _ = listener.accept()
            seen.append(client.recv(65536))
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            server = socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2])))
            ends = [
                threading.Thread(target=_copy, args=pair) for pair in ((client, server), (server, client))
            ]
            for end in ends:
                end.start()
            for end in ends:
                end.join()
            client.close()
            server.close()

        proxy = threading.Thread(target=run)
        proxy.start()
        url = f"http://me:p%40ss@127.0.0.1:{listener.getsockname()[1]}"
        ca = base64.b64encode(api.ca_pem.encode()).decode()
        here = {"server": api.url, "certificate-authority-data": ca, "proxy-url": url}
        cluster = find_cluster(kubeconfig=write_kubeconfig(cluster=here), environ={})
        api.answers["/api/v1/namespaces/default/pods"] = pod_list("a")
        assert names(list_objects(cluster, PODS)) == ["a"]
        cluster.close()
        proxy.join()
    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert base64.b64encode(b"me:p@ss") in seen[0]
    assert b"a-token" not in seen[0]


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_a_proxy_of_another_kind_is_refused(write_kubeconfig: Callable[..., Path]) -> None:
    file = write_kubeconfig(cluster={"server": "https://api.example", "proxy-url": "socks5://127.0.0.1:1"})
    with pytest.raises(ServerUnreachable, match="socks5"):
        list_objects(find_cluster(kubeconfig=file, environ={}), PODS)


def test_server_that_never_answers_times_out(api: ApiServer, cluster: Cluster) -> None:
    answered = threading.Event()
    api.answers[PODS_PATH] = lambda _asked: answered.wait() and pod_list()
    cluster.api.timings = Timings(read=0.2)
    with pytest.raises(ServerUnreachable, match="did not answer in time"):
        list_objects(cluster, PODS)
    answered.set()


def test_a_server_that_never_finishes_the_handshake(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        cluster = elsewhere(url, tmp_path)
        cluster.api.timings = Timings(connect=0.2)
        with pytest.raises(ServerUnreachable, match="in time"):
            list_objects(cluster, PODS)


@pytest.mark.skipif(os.name != "posix", reason="signals of one thread are POSIX'")
def test_interrupt_ends_a_request_and_the_next_works(api: ApiServer, cluster: Cluster) -> None:
    answered = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(_asked: object) -> object:
        signal.pthread_kill(main, signal.SIGINT)
        answered.wait()
        return pod_list()

    api.answers[PODS_PATH] = interrupt
    with pytest.raises(KeyboardInterrupt):
        list_objects(cluster, PODS)
    answered.set()
    api.answers[PODS_PATH] = pod_list("a")
    assert names(list_objects(cluster, PODS)) == ["a"]


def test_many_threads_ask_at_once(api: ApiServer, cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    api.answers[PODS_PATH] = pod_list("a")
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _number: names(list_objects(cluster, PODS)), range(60)))
    assert answers == [["a"]] * 60
    assert not caplog.records


def test_the_pieces_of_tls_errors_are_told_apart() -> None:
    told = api_errors.from_transport(ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] x"), "https://s")
    assert isinstance(told, ServerUnreachable)
    assert json.dumps(told.to_wire())
