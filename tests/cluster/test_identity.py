from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.errors import KubeconfigInvalid, NotLoggedIn, TokenExpired, UsageProblem
from sspcloud_magics.secret import Secret

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.43.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A mounted service account, as the kubelet lays it out: links into a directory that is swapped."""
    mount = tmp_path / "serviceaccount"
    versions = [mount / "..2026_1", mount / "..2026_2"]
    for number, folder in enumerate(versions, 1):
        folder.mkdir(parents=True)
        (folder / "token").write_text(f"token-{number}")
        (folder / "namespace").write_text("user-bob")
    (mount / "..data").symlink_to(versions[0].name)
    for name in ("token", "namespace"):
        (mount / name).symlink_to(Path("..data") / name)
    return mount


def rotate(mount: Path) -> None:
    (mount / "..new").symlink_to("..2026_2")
    (mount / "..new").replace(mount / "..data")


def test_inside_a_cluster_nothing_is_needed(mount: Path, tmp_path: Path) -> None:
    cluster = find_cluster(mount=mount, environ=IN_CLUSTER | {"HOME": str(tmp_path)})
    assert cluster.in_service
    assert cluster.namespace == "user-bob"
    assert cluster.access().server == "https://10.43.0.1:443"
    assert cluster.access().token == Secret("token-1")
    assert cluster.source == "the mounted service-account token"


def test_mounted_token_is_reread_when_replaced(mount: Path) -> None:
    cluster = find_cluster(mount=mount, environ=IN_CLUSTER)
    first = cluster.access()
    with pytest.raises(TokenExpired, match="still holds the same token"):
        cluster.renew_access(first)
    rotate(mount)
    assert cluster.access().token == Secret("token-2")
    assert cluster.renew_access(first).token == Secret("token-2")


def test_mounted_token_wins_over_a_stale_kubeconfig(
    mount: Path, write_kubeconfig: Callable[..., Path], tmp_path: Path
) -> None:
    stale = write_kubeconfig(name=".kube/config", user={"token": "stale"}, entry="in-cluster")
    for environ in ({"HOME": str(tmp_path)}, {"KUBECONFIG": str(stale), "HOME": "/nowhere"}):
        cluster = find_cluster(mount=mount, environ=IN_CLUSTER | environ)
        assert cluster.access().token == Secret("token-1")
        ignored = [entry for entry in cluster.considered if entry.source == str(stale)]
        assert [entry.outcome.split(":")[0] for entry in ignored] == ["ignored"]


def test_named_source_wins_over_the_mounted_token(mount: Path, write_kubeconfig: Callable[..., Path]) -> None:
    file = write_kubeconfig(user={"token": "named"})
    named = find_cluster(kubeconfig=file, mount=mount, environ=IN_CLUSTER)
    assert named.access().token == Secret("named")
    by_context = find_cluster(context="here", mount=mount, environ=IN_CLUSTER | {"KUBECONFIG": str(file)})
    assert by_context.access().token == Secret("named")


def test_mounted_authority_is_trusted_if_readable(mount: Path) -> None:
    (mount / "ca.crt").write_text("PEM")
    cluster = find_cluster(mount=mount, environ=IN_CLUSTER)
    assert cluster.access().ca == "PEM"
    (mount / "ca.crt").unlink()
    (mount / "ca.crt").mkdir()
    with pytest.raises(NotLoggedIn, match=r"ca\.crt cannot be read"):
        cluster.access()


def test_an_ipv6_server_is_put_in_brackets(mount: Path) -> None:
    cluster = find_cluster(mount=mount, environ={"KUBERNETES_SERVICE_HOST": "fd00::1"})
    assert cluster.access().server == "https://[fd00::1]:443"


def test_namespace_may_come_from_the_environment_alone(mount: Path) -> None:
    (mount / "namespace").unlink()
    environ = IN_CLUSTER | {"KUBERNETES_NAMESPACE": "projet-x"}
    assert find_cluster(mount=mount, environ=environ).namespace == "projet-x"


def test_mounted_token_without_a_server_is_skipped(
    mount: Path, write_kubeconfig: Callable[..., Path]
) -> None:
    cluster = find_cluster(mount=mount, environ={"KUBECONFIG": str(write_kubeconfig())})
    assert not cluster.in_service
    assert any("KUBERNETES_SERVICE_HOST" in entry.outcome for entry in cluster.considered)


def test_missing_configuration_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(NotLoggedIn) as caught:
        find_cluster(mount=tmp_path / "none", environ={"HOME": str(tmp_path)})
    text = str(caught.value)
    assert str(tmp_path / ".kube" / "config") in text
    assert "%sandbox start" in text


def test_a_named_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigInvalid, match="There is no kubeconfig"):
        find_cluster(kubeconfig=tmp_path / "nowhere", environ={})


def test_a_server_with_a_token_file(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(" a-token\n")
    cluster = find_cluster(server="api.example", token_file=token, environ={})
    assert cluster.access().server == "https://api.example"
    assert cluster.access().token == Secret("a-token")
    with pytest.raises(TokenExpired, match="fresh token"):
        cluster.renew_access()
    token.write_text("another-token")
    assert cluster.renew_access(
        cluster.access().__class__(server="x", token=Secret("a-token"))
    ).token == Secret("another-token")


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"two words\n", "one word"), (b"\xff\x00", "not text"), (b"x" * 1_100_000, "MiB")],
)
def test_a_file_that_is_no_token_is_not_quoted(tmp_path: Path, content: bytes, says: str) -> None:
    token = tmp_path / "token"
    token.write_bytes(content)
    with pytest.raises(NotLoggedIn, match=says) as caught:
        find_cluster(server="https://x", token_file=token, environ={}).access()
    assert "words" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"server": "https://x"},
        {"token_file": "t"},
        {"server": "https://x", "token_file": "t", "context": "c"},
        {"server": "https://x", "token_file": "t", "ca_file": "c", "insecure_skip_tls_verify": True},
        {"ca_file": "c"},
        {"insecure_skip_tls_verify": True},
    ],
)
def test_contradicting_arguments_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageProblem):
        find_cluster(**arguments, environ={})  # type: ignore[arg-type]


def test_a_ca_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigInvalid, match="CA file"):
        find_cluster(server="https://x", token_file="t", ca_file=tmp_path / "none", environ={})


def test_another_namespace_is_the_same_identity(write_kubeconfig: Callable[..., Path]) -> None:
    cluster = find_cluster(kubeconfig=write_kubeconfig(), environ={})
    other = cluster.with_namespace("user-alice")
    assert (other.namespace, cluster.namespace) == ("user-alice", "default")
    assert other.access() == cluster.access()


def test_a_cluster_never_shows_its_credentials(write_kubeconfig: Callable[..., Path]) -> None:
    cluster = find_cluster(kubeconfig=write_kubeconfig(user={"token": "secret-canary"}), environ={})
    assert "canary" not in f"{cluster!r} {cluster} {cluster.access()!r} {cluster.considered}"


def test_several_threads_may_ask_at_once(mount: Path) -> None:
    cluster = find_cluster(mount=mount, environ=IN_CLUSTER)
    refused = cluster.access()
    rotate(mount)
    tokens: list[Secret | None] = []
    threads = [
        threading.Thread(target=lambda: tokens.append(cluster.renew_access(refused).token)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == [Secret("token-2")] * 8


def test_finding_a_cluster_imports_no_http_nor_pandas() -> None:
    code = (
        "import sys, sspcloud_magics.cluster.cluster\n"
        "heavy = {'urllib3', 'pandas', 'kubernetes', 'psycopg'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
