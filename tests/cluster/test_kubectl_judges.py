"""kubectl is the reference for kubeconfigs: the package reads the same values.

kubectl refuses a whole file for one bad entry. Here the other entries can be used, and a login can be merged.
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sspcloud_magics.cluster.auth.exec_plugin import ExecPlugin
from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.cluster.config.kubeconfig import Entry, Kubeconfig, load, read
from sspcloud_magics.cluster.login import merge_login
from sspcloud_magics.cluster.login_script import LoginScript
from sspcloud_magics.errors import KubeconfigInvalid, SspcloudError
from sspcloud_magics.secret import Secret
from tests.cluster.kubeconfig_cases import ENTRIES, FILES
from tests.support.kubectl import KUBECTL

pytestmark = pytest.mark.slow

READ_ALL_THE_SAME = ("a key that is a list", "text that is said to be a number")
"""What kubectl refuses although it is of no use to it: here only what is used is looked at."""

TEXTS = {
    "clusters": ("server", "certificate-authority", "tls-server-name", "proxy-url"),
    "users": ("token", "tokenFile", "client-certificate", "client-key", "username", "as"),
    "contexts": ("cluster", "user", "namespace"),
}
PATHS = {"clusters": ("certificate-authority",), "users": ("client-certificate", "client-key")}
KINDS = {"clusters": "cluster", "users": "user", "contexts": "context"}


def view(*files: Path, options: Sequence[str] = ()) -> dict[str, Any] | None:
    """Return what kubectl reads; None where it refuses."""
    listed = ":".join(map(str, files))
    done = subprocess.run(
        [KUBECTL, "config", "view", "--raw", "-o", "json", *options],
        env={"KUBECONFIG": listed, "HOME": "/nowhere"},
        capture_output=True,
        check=False,
    )
    return None if done.returncode else dict(json.loads(done.stdout))


@cache
def verdict(case: str) -> dict[str, Any] | None:
    """Return what kubectl reads of a case."""
    with tempfile.TemporaryDirectory() as folder:
        return view(write(Path(folder), (FILES | ENTRIES)[case]))


def shape(theirs: dict[str, Any]) -> dict[str, Any]:
    """Return kubectl's answer in the shape in which `read_by_us` tells what we read."""
    return {"current": theirs["current-context"] or None} | {
        plural: {
            each["name"]: {key: each[KINDS[plural]][key] for key in keys if each[KINDS[plural]].get(key)}
            | ({"insecure": True} if each[KINDS[plural]].get("insecure-skip-tls-verify") else {})
            for each in theirs[plural] or ()
        }
        for plural, keys in TEXTS.items()
    }


def read_by_us(kubeconfig: Kubeconfig) -> dict[str, Any]:
    def fields(entry: Entry, plural: str) -> dict[str, Any]:
        assert not entry.fault
        told: dict[str, Any] = {key: text for key in TEXTS[plural] if (text := entry.text(key))}
        return told | ({"insecure": True} if entry.flag("insecure-skip-tls-verify") else {})

    assert not kubeconfig.faults
    return {"current": kubeconfig.current_context} | {
        plural: {name: fields(entry, plural) for name, entry in getattr(kubeconfig, plural).items()}
        for plural in TEXTS
    }


def write(folder: Path, content: str | bytes) -> Path:
    file = folder / "config"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def script_for(name: str) -> LoginScript:
    return LoginScript(
        name,
        name,
        name,
        {"server": "https://new.example"},
        {"cluster": name, "user": name},
        token=Secret("new-token"),
    )


@pytest.mark.parametrize("case", [*FILES, *ENTRIES])
def test_what_kubectl_reads_is_read_alike(tmp_path: Path, case: str) -> None:
    file = write(tmp_path, (FILES | ENTRIES)[case])
    theirs = verdict(case)
    if theirs is None:
        return  # the other tests judge what is said of it
    if not any(theirs[plural] for plural in TEXTS) and not theirs["current-context"]:
        with pytest.raises(KubeconfigInvalid, match="is empty"):
            load([file])
        return
    ours = load([file])
    assert ours is not None
    assert read_by_us(ours) == shape(theirs)


@pytest.mark.parametrize("case", [case for case, text in ENTRIES.items() if "command: c" in text])
def test_login_command_is_read_alike(tmp_path: Path, case: str) -> None:
    file = write(tmp_path, ENTRIES[case])
    theirs, ours = verdict(case), load([file])
    assert ours is not None
    entry = ours.users["bad"].values["exec"]
    told = next(
        (each["user"]["exec"] for each in (theirs or {"users": ()})["users"] if each["name"] == "bad"), None
    )
    # kubectl reads a variable without a name, and refuses it when the command is to be run.
    if told is None or not all(each["name"] for each in told["env"] or ()):
        with pytest.raises(KubeconfigInvalid):
            ExecPlugin(entry, tmp_path, {})
        return
    plugin = ExecPlugin(entry, tmp_path, {})
    assert (plugin._command, plugin._version) == (told["command"], told["apiVersion"])
    assert plugin._arguments == (told["args"] or [])
    assert plugin._environment == {each["name"]: each["value"] for each in told["env"] or ()}
    assert (plugin._cluster is not None) == told["provideClusterInfo"]


@pytest.mark.parametrize("case", FILES)
def test_file_that_kubectl_refuses_is_told(tmp_path: Path, case: str) -> None:
    file = write(tmp_path, FILES[case])
    if verdict(case) is None and case not in READ_ALL_THE_SAME:
        with pytest.raises(KubeconfigInvalid) as caught:
            load([file])
        assert str(file) in str(caught.value)


@pytest.mark.parametrize("case", ENTRIES)
def test_bad_entry_is_told_and_stands_alone(tmp_path: Path, case: str) -> None:
    """The good context can be used in every case; the bad ones are refused in words where kubectl refuses."""
    file = write(tmp_path, ENTRIES[case])
    assert find_cluster(kubeconfig=file, context="good", environ={}).access().token == Secret("abc")
    if verdict(case) is None:
        ours = load([file])
        assert ours is not None
        others = [name for name in ours.contexts if name != "good"]
        told = find_cluster(kubeconfig=file, context="good", environ={}).considered
        malformed = [each.outcome for each in told if "kubectl refuses the file" in each.outcome]
        assert len(malformed) == len(ours.list_malformed())
        assert others or ours.faults
        assert all(str(file) in fault for fault in ours.faults)
        for name in others:
            with pytest.raises(SspcloudError) as caught:
                find_cluster(kubeconfig=file, context=name, environ={}).access()
            assert str(file) in str(caught.value)


@pytest.mark.parametrize("case", ENTRIES)
@pytest.mark.parametrize("name", [pytest.param("new", marks=pytest.mark.wide), "bad"])
def test_login_is_merged_next_to_a_bad_entry(tmp_path: Path, case: str, name: str) -> None:
    """What kubectl read before it reads afterwards, with the login; and an entry that the login names is put right."""
    file = write(tmp_path, ENTRIES[case])
    before = verdict(case)
    text = read(file)
    assert text is not None
    file.write_text(merge_login({file: text}, script_for(name))[file])
    assert find_cluster(kubeconfig=file, environ={}).access().token == Secret("new-token")
    assert find_cluster(kubeconfig=file, context="good", environ={}).access().token == Secret("abc")
    if before is not None:
        after = view(file)
        assert after is not None
        assert after["current-context"] == name
        for plural in TEXTS:
            kept = [each for each in before[plural] if each["name"] != name]
            assert [each for each in after[plural] if each["name"] != name] == kept


def test_files_of_the_variable_are_merged_alike(tmp_path: Path) -> None:
    """Several files, relative paths in each, names in two of them, and files that are not there."""
    for folder, current in (("a", ""), ("b/deep", "here")):
        file = tmp_path / folder / "config"
        file.parent.mkdir(parents=True)
        (file.parent / "ca.crt").write_text(f"beside {folder}")
        (file.parent.parent / "ca.crt").write_text(f"above {folder}")
        file.write_text(
            f"current-context: '{current}'\n"
            f"clusters:\n- {{name: here, cluster: {{server: {folder[0]}, certificate-authority: ../ca.crt}}}}\n"
            f"- {{name: {folder[0]}, cluster: {{server: x, certificate-authority: ca.crt}}}}\n"
            f"users: [{{name: here, user: {{token: {folder[0]}, client-key: {file}, client-certificate: ./ca.crt}}}}]\n"
            f"contexts: [{{name: here, context: {{cluster: {folder[0]}, user: here}}}}]\n"
        )
    files = [tmp_path / "none", tmp_path / "a" / "config", tmp_path / "b" / "deep" / "config"]
    theirs, ours = view(*files), load(files)
    assert theirs is not None
    assert ours is not None
    assert read_by_us(ours) == shape(theirs)
    flat = view(*files, options=["--flatten"])
    assert flat is not None
    for plural, keys in PATHS.items():
        for each in flat[plural]:
            entry = getattr(ours, plural)[each["name"]]
            paths = [entry.path(key) for key in keys]
            read = [base64.b64encode(path.read_bytes()).decode() for path in paths if path is not None]
            assert read == [each[KINDS[plural]][f"{key}-data"] for key in keys]
