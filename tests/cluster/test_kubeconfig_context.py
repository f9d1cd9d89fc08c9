from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from sspcloud_magics.access import Access
from sspcloud_magics.cluster.auth.kubeconfig_context import server_url
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.errors import KubeconfigInvalid, NotLoggedIn, SspcloudError, TokenExpired
from sspcloud_magics.secret import Secret
from sspcloud_magics.tls import tls_context

Write = Callable[..., Path]
SERVER = "https://api.example:6443"


def find(file: Path, **more: object) -> Cluster:
    return find_cluster(kubeconfig=file, environ={}, **more)  # type: ignore[arg-type]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def jwt(exp: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


def test_a_token_and_the_namespace_of_the_context(write_kubeconfig: Write) -> None:
    cluster = find(write_kubeconfig(user={"token": "a-token"}, context={"namespace": "user-bob"}))
    assert cluster.access() == Access(server=SERVER, token=Secret("a-token"))
    assert cluster.namespace == "user-bob"
    assert cluster.source.startswith("context here of ")


def test_namespace_is_default_where_none_is_named(write_kubeconfig: Write) -> None:
    file = write_kubeconfig()
    assert find(file).namespace == "default"
    assert find(file, namespace="user-x").namespace == "user-x"


def test_all_that_a_cluster_entry_may_say(write_kubeconfig: Write, authority: trustme.CA) -> None:
    pem = authority.cert_pem.bytes().decode()
    cluster = {
        "server": "https://api.example:6443/",
        "certificate-authority-data": b64(pem),
        "certificate-authority": "/nowhere/else",
        "tls-server-name": "kubernetes",
        "proxy-url": "http://proxy.example:3128",
    }
    assert find(write_kubeconfig(cluster=cluster)).access() == Access(
        server=SERVER,
        ca=pem.strip(),
        tls_server_name="kubernetes",
        proxy=Secret("http://proxy.example:3128"),
        token=Secret("a-token"),
    )


def test_insecure_is_obeyed_and_a_ca_beside_it_refused(write_kubeconfig: Write) -> None:
    insecure = {"server": SERVER, "insecure-skip-tls-verify": True}
    assert find(write_kubeconfig(cluster=insecure)).access().insecure_skip_tls_verify
    with pytest.raises(KubeconfigInvalid, match="contradicts itself"):
        find(write_kubeconfig(cluster=insecure | {"certificate-authority-data": b64("x")}))
    with pytest.raises(KubeconfigInvalid, match="neither true nor false"):
        find(write_kubeconfig(cluster=insecure | {"insecure-skip-tls-verify": "yes"}))


def test_text_around_pem_blocks_counts_for_nothing(write_kubeconfig: Write, authority: trustme.CA) -> None:
    """In bundles, and as ``openssl x509 -text`` and ``openssl ecparam -genkey`` write them; a broken block, too."""
    pair = authority.issue_cert("localhost")
    chain, key = pair.cert_chain_pems[0].bytes().decode(), pair.private_key_pem.bytes().decode()
    broken = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    pem = authority.cert_pem.bytes().decode().replace("\n", "\r\n")
    access = find(
        write_kubeconfig(
            cluster={
                "server": SERVER,
                "certificate-authority-data": b64(
                    f"# Autorité\r\n{broken}Certificate:\n  Data\n{pem}\n# the end"
                ),
            },
            user={
                "client-certificate-data": b64(f"Bag Attributes\n{chain}{key}é"),
                "client-key-data": b64(f"# clé\n{parameters}{key}"),
            },
        )
    ).access()
    context = tls_context(access)
    assert context.cert_store_stats()["x509_ca"] == 1


def test_certificate_authority_without_a_block_is_told(write_kubeconfig: Write) -> None:
    cluster = {"server": SERVER, "certificate-authority-data": b64("no certificate")}
    with pytest.raises(KubeconfigInvalid, match="no PEM certificate"):
        tls_context(find(write_kubeconfig(cluster=cluster)).access())


def test_client_certificates_come_from_relative_files(write_kubeconfig: Write, tmp_path: Path) -> None:
    (tmp_path / "me.crt").write_text("CERT")
    (tmp_path / "me.key").write_text("KEY")
    access = find(write_kubeconfig(user={"client-certificate": "me.crt", "client-key": "me.key"})).access()
    assert (access.client_certificate, access.client_key, access.token) == ("CERT", Secret("KEY"), None)


def test_client_certificates_as_data_win_over_files(write_kubeconfig: Write) -> None:
    user = {
        "client-certificate-data": b64("CERT"),
        "client-key-data": b64("KEY"),
        "client-certificate": "/nowhere",
        "client-key": "/nowhere",
    }
    access = find(write_kubeconfig(user=user)).access()
    assert (access.client_certificate, access.client_key) == ("CERT", Secret("KEY"))


def test_token_file_is_reread_and_wins_over_the_token(write_kubeconfig: Write, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("first\n")
    cluster = find(write_kubeconfig(user={"tokenFile": "t", "token": "in-the-file"}))
    assert cluster.access().token == Secret("first")
    (tmp_path / "t").write_text("second, which is longer".replace(" ", "-"))
    assert cluster.access().token == Secret("second,-which-is-longer")
    (tmp_path / "t").unlink()
    assert cluster.access().token == Secret("in-the-file")


def test_the_id_token_of_oidc_is_a_token(write_kubeconfig: Write) -> None:
    provider = {"name": "oidc", "config": {"id-token": "an-id-token", "refresh-token": "r"}}
    assert find(write_kubeconfig(user={"auth-provider": provider})).access().token == Secret("an-id-token")


def test_after_a_401_the_kubeconfig_is_read_again(write_kubeconfig: Write) -> None:
    cluster = find(write_kubeconfig(user={"token": "old"}))
    refused = cluster.access()
    write_kubeconfig(user={"token": "new"})
    assert cluster.renew_access(refused).token == Secret("new")
    assert cluster.access().token == Secret("new")


def test_older_access_is_renewed_to_the_current_one(write_kubeconfig: Write) -> None:
    cluster = find(write_kubeconfig(user={"token": "old"}))
    refused = cluster.access()
    write_kubeconfig(user={"token": "new"})
    assert cluster.renew_access(refused) == cluster.renew_access(refused)


def test_new_current_context_keeps_the_identity(write_kubeconfig: Write, tmp_path: Path) -> None:
    file = write_kubeconfig(user={"token": "mine"}, entry="mine")
    cluster = find(file)
    refused = cluster.access()
    text = file.read_text()
    other = write_kubeconfig(user={"token": "others"}, entry="others").read_text()
    assert other != text
    file.write_text(text.replace("current-context: mine", "current-context: others"))
    with pytest.raises(TokenExpired):
        cluster.renew_access(refused)


def test_an_expired_token_is_told_with_its_hour(write_kubeconfig: Write) -> None:
    cluster = find(write_kubeconfig(user={"token": jwt(time.time() - 7200)}))
    with pytest.raises(TokenExpired, match=r"expired 2 hours ago") as caught:
        cluster.renew_access()
    assert "log" in caught.value.hint
    assert jwt(0)[:6] not in str(caught.value)


def test_refused_valid_token_hints_at_clock_or_end(write_kubeconfig: Write) -> None:
    cluster = find(write_kubeconfig(user={"token": jwt(time.time() + 7200.5)}))
    with pytest.raises(TokenExpired, match=r"valid for 2 hours more, until .* revoked, or a clock is wrong"):
        cluster.renew_access()


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "e30.bnVsbA.c2ln", "e30.e30.c2ln", jwt(1e40)])
def test_token_without_an_end_is_no_error(write_kubeconfig: Write, token: str) -> None:
    with pytest.raises(TokenExpired) as caught:
        find(write_kubeconfig(user={"token": token})).renew_access()
    assert caught.value.why == ""


def test_when_the_kubeconfig_is_gone_the_login_is_over(write_kubeconfig: Write) -> None:
    file = write_kubeconfig(user={"token": "old"})
    cluster = find(file)
    refused = cluster.access()
    file.unlink()
    with pytest.raises(TokenExpired):
        cluster.renew_access(refused)


def test_cluster_extension_reaches_the_plugin(write_kubeconfig: Write, tmp_path: Path) -> None:
    script = tmp_path / "login"
    script.write_text(
        f"#!{sys.executable} -IS\nimport json, os\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "print(json.dumps(info | {'status': {'token': json.dumps(info['spec']['cluster'], separators=(',', ':'))}}))\n"
    )
    script.chmod(0o755)
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "me"}}
    cluster = {
        "server": SERVER,
        "insecure-skip-tls-verify": True,
        "tls-server-name": "k8s",
        "extensions": [extension],
    }
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./login",
        "provideClusterInfo": True,
    }
    token = find(write_kubeconfig(cluster=cluster, user={"exec": plugin})).access().token
    assert token is not None
    assert json.loads(token.reveal()) == {
        "server": SERVER,
        "insecure-skip-tls-verify": True,
        "tls-server-name": "k8s",
        "config": {"audience": "me"},
    }


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({}, "has no credentials"),
        ({"username": "bob", "password": "secret-canary"}, "user name and password"),
        ({"token": "secret-canary", "as": "root"}, "impersonation"),
        ({"token": ["secret-canary"]}, "not text"),
        ({"token": "secret-canary\nX"}, "one word on one line"),
        ({"token": "secret-canary-é"}, "one word on one line"),
        ({"token": "secret canary"}, "one word on one line"),
        ({"client-certificate-data": b64("C"), "client-key-data": b64("secret-canary\0")}, "PEM"),
        (
            {"auth-provider": {"name": "oidc", "config": {"id-token": "secret-canary\n.b.c"}}},
            "id-token of the user here",
        ),
        ({"client-certificate-data": b64("C")}, "lacks client-key"),
        ({"client-key-data": b64("secret-canary")}, "lacks client-certificate"),
        ({"client-certificate-data": "%%%é", "client-key-data": "x"}, "not base64"),
        ({"client-certificate": "/no/such/file", "client-key": "/no/such/file"}, "No such file"),
        ({"tokenFile": "/no/such/file"}, "No such file"),
        (
            {"auth-provider": {"name": "gcp", "config": {"access-token": "secret-canary"}}},
            "auth-provider 'gcp'",
        ),
        ({"auth-provider": "secret-canary"}, "auth-provider"),
        ({"auth-provider": {"name": "oidc"}}, "no id-token"),
        ({"exec": "secret-canary"}, "exec of here"),
        ({"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}, "no command"),
        ({"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}}, "v1alpha1"),
    ],
)
def test_unusable_user_is_refused_with_a_reason(
    write_kubeconfig: Write, user: dict[str, object], says: str
) -> None:
    with pytest.raises(SspcloudError) as caught:
        find(write_kubeconfig(user=user)).access()
    assert isinstance(caught.value, KubeconfigInvalid | NotLoggedIn)
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        ({"server": ""}, "no server"),
        ({"server": "https://"}, "not the address"),
        ({"server": "ftp://x"}, "not the address"),
        ({"server": "https://x:port"}, "not the address"),
        ({"server": "https://x:70000"}, "not the address"),
        ({"server": 5}, "not text"),
        ({"server": "https://bob:canary@x"}, "before its @"),
        ({"server": "https://canary@x"}, "before its @"),
        ({"server": "https://bob:can#canary@x"}, "not the address"),
        ({"server": "https://x/?token=1"}, "not the address"),
        ({"server": "https://x\ny"}, "not the address"),
        ({"server": SERVER, "certificate-authority": "/no/such/file"}, "No such file"),
        ({"server": SERVER, "certificate-authority-data": "é"}, "not base64"),
    ],
)
def test_unusable_cluster_is_refused_with_a_reason(
    write_kubeconfig: Write, cluster: dict[str, object], says: str
) -> None:
    with pytest.raises(KubeconfigInvalid) as caught:
        find(write_kubeconfig(cluster=cluster | {"x": 1})).access()
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_context_that_names_what_is_not_there(write_kubeconfig: Write) -> None:
    with pytest.raises(KubeconfigInvalid, match="names the user 'gone'"):
        find(write_kubeconfig(context={"user": "gone"}))
    with pytest.raises(KubeconfigInvalid, match="names the cluster 'gone'"):
        find(write_kubeconfig(context={"cluster": "gone"}))
    with pytest.raises(KubeconfigInvalid, match="names no cluster"):
        find(write_kubeconfig(context={"cluster": ""}))


def test_a_server_without_a_scheme_speaks_tls() -> None:
    assert server_url("api.example:6443") == "https://api.example:6443"
    assert server_url(" http://localhost:8001/base/ ") == "http://localhost:8001/base"
