"""The kubeconfig after a login: what kubectl would have made of it, and nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sspcloud_magics.cluster.config import kubeconfig_file
from sspcloud_magics.cluster.login import merge_login
from sspcloud_magics.cluster.login_script import parse
from sspcloud_magics.errors import KubeconfigInvalid
from tests.cluster.test_login_script import SCRIPT

CA = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
OTHERS = """\
# a comment
current-context: work
apiVersion: v1
kind: Config
preferences: {colors: yes}
users:
- name: work
  user:
    token: 010
    unknown: [1, {deep: 0x1F}]
- user: {client-certificate: work.pem, client-key: work.key}
  name: 'USER'
clusters:
- cluster: {server: "https://work"}
  name: work
extensions:
- {name: mine, extension: on}
contexts:
- {name: work, context: {cluster: work, user: work, extra: 2024-01-01}}
"""
FILE = Path("/config")


def merge_and_load(text: str, script: str = SCRIPT, ca: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(merge_login({FILE: text}, parse(script), ca).get(FILE, text))
    return found


def by_kubectl(text: str, script: str, folder: Path) -> dict[str, Any]:
    """Return what kubectl makes of a kubeconfig when a shell runs the script."""
    file = folder / "kubectl-config"
    file.write_text(text)
    environment = {"KUBECONFIG": str(file), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    subprocess.run(
        ["/bin/sh", "-e"], input=script, text=True, env=environment, check=True, capture_output=True
    )
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    return found


def entries(document: dict[str, Any], plural: str, singular: str) -> dict[str, Any]:
    return {entry["name"]: entry[singular] for entry in document[plural]}


SAME = """\
apiVersion: v1
kind: Config
current-context: other
clusters:
- {name: HOST, cluster: {server: "https://old", certificate-authority-data: QQ==, tls-server-name: kept}}
- {name: other, cluster: {server: "https://other"}}
users:
- {name: USER, user: {auth-provider: {name: oidc, config: {client-secret: kept, id-token: old}}}}
contexts:
- {name: HOST, context: {cluster: x, user: them, namespace: old}}
- {name: other, context: {cluster: other, user: USER}}
"""


def test_names_that_look_like_yaml_values_stay_names(tmp_path: Path) -> None:
    for name in ("y", "1e3", "0x1", "null", "12", "on", "~"):
        script = SCRIPT.replace("HOST", f"'{name}'")
        ours = tmp_path / "ours"
        ours.write_text(merge_login({FILE: ""}, parse(script))[FILE])
        shown = ["kubectl", "config", "current-context"]
        environment = {
            "KUBECONFIG": str(ours),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        }
        told = subprocess.run(shown, env=environment, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == name


@pytest.mark.parametrize("before", ["", SAME, "apiVersion: v1\nkind: Config\nclusters: null\nusers: []\n"])
def test_result_equals_kubectls_for_the_same_script(before: str, tmp_path: Path) -> None:
    ours, theirs = merge_and_load(before), by_kubectl(before, SCRIPT, tmp_path)
    for plural, singular in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
        assert entries(ours, plural, singular) == entries(theirs, plural, singular)
    assert ours["current-context"] == theirs["current-context"] == "HOST"


def test_untouched_entries_keep_order_fields_and_text() -> None:
    text = merge_login({FILE: OTHERS}, parse(SCRIPT))[FILE]
    assert list(yaml.safe_load(text)) == list(yaml.safe_load(OTHERS))
    for kept in (
        "preferences: {colors: yes}", "token: 010", "unknown: [1, {deep: 0x1F}]",
        "- {name: mine, extension: on}", "extra: 2024-01-01", 'server: "https://work"',
    ):  # fmt: skip
        assert kept in text
    assert yaml.safe_load(text)["current-context"] == "HOST"


def test_second_login_changes_the_tokens_only() -> None:
    once = merge_login({FILE: OTHERS}, parse(SCRIPT))[FILE]
    assert merge_login({FILE: once}, parse(SCRIPT)) == {}
    twice = merge_login({FILE: once}, parse(SCRIPT.replace("CANARY-refresh", "another")))[FILE]
    assert twice == once.replace("CANARY-refresh", "another")


def test_credentials_that_would_win_are_removed() -> None:
    before = SAME.replace("{auth-provider:", "{token: stale, exec: {command: x}, auth-provider:")
    user = entries(merge_and_load(before), "users", "user")["USER"]
    assert set(user) == {"auth-provider"}
    assert user["auth-provider"]["config"]["client-secret"] == "kept"


def test_given_ca_replaces_skipping_verification() -> None:
    cluster = entries(merge_and_load("", ca=CA), "clusters", "cluster")["HOST"]
    assert set(cluster) == {"server", "certificate-authority-data"}
    text = merge_login({FILE: ""}, parse(SCRIPT), CA)[FILE]
    assert entries(merge_and_load(text), "clusters", "cluster")["HOST"] == cluster, (
        "the next login forgot the CA"
    )
    elsewhere = merge_and_load(text, SCRIPT.replace("https://api", "https://moved"))
    assert entries(elsewhere, "clusters", "cluster")["HOST"]["insecure-skip-tls-verify"] is True


def test_entry_is_changed_in_the_file_that_holds_it() -> None:
    first, second, missing = Path("/a"), Path("/b"), Path("/c")
    work = "apiVersion: v1\nkind: Config\ncurrent-context: work\n"
    changed = merge_login({missing: "", first: work, second: SAME}, parse(SCRIPT))
    assert set(changed) == {first, second}
    assert yaml.safe_load(changed[first]) == {"apiVersion": "v1", "kind": "Config", "current-context": "HOST"}
    assert (
        entries(yaml.safe_load(changed[second]), "clusters", "cluster")["HOST"]["server"]
        == "https://api.example"
    )


@pytest.mark.parametrize("text", ["[1, 2]", "users: [", "users: {a: b}", "just text", "[" * 5000])
def test_a_file_that_is_no_kubeconfig_is_not_changed(text: str) -> None:
    with pytest.raises(KubeconfigInvalid, match="was not changed"):
        merge_login({FILE: text}, parse(SCRIPT))


def test_file_is_replaced_privately_with_one_backup(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("first")
    file.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(file)
    kubeconfig_file.write(link, "second")
    kubeconfig_file.write(file, "third")
    assert link.is_symlink()
    assert file.read_text() == "third"
    assert file.stat().st_mode & 0o777 == 0o600
    backup = tmp_path / "config.before-sspcloud"
    assert backup.read_text() == "first"
    assert backup.stat().st_mode & 0o777 == 0o600
    assert {each.name for each in tmp_path.iterdir()} == {"config", "link", backup.name}


def test_a_read_only_file_is_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("first")
    file.chmod(0o400)
    with pytest.raises(KubeconfigInvalid, match="read-only"):
        kubeconfig_file.write(file, "second")
    assert file.read_text() == "first"


def test_kubectl_and_we_shut_each_other_out(tmp_path: Path) -> None:
    file = tmp_path / "config"
    environment = {"KUBECONFIG": str(file), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    change = ["kubectl", "config", "set-cluster", "c", "--server=https://x"]
    with kubeconfig_file.lock_files([file]):
        refused = subprocess.run(change, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "config.lock" in refused.stderr
    subprocess.run(change, env=environment, check=True, capture_output=True)
    (tmp_path / "config.lock").touch()
    with (
        pytest.raises(KubeconfigInvalid, match=r"config\.lock exists"),
        kubeconfig_file.lock_files([file], patience=0),
    ):
        raise AssertionError
