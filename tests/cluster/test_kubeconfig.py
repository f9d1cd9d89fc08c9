from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sspcloud_magics.cluster.kubeconfig import LIMIT, default_files, load
from sspcloud_magics.errors import KubeconfigInvalid

Write = Callable[..., Path]


def test_the_first_file_that_has_an_entry_wins_whole(write_kubeconfig: Write) -> None:
    first = write_kubeconfig(name="first", user={"token": "first"}, entry="red")
    second = write_kubeconfig(name="second", user={"tokenFile": "x", "token": "second"}, entry="red")
    merged = load([first, second])
    assert merged is not None
    assert dict(merged.users["red"].values) == {"token": "first"}
    assert merged.users["red"].file == first


def test_files_are_merged_and_first_context_wins(write_kubeconfig: Write) -> None:
    merged = load([write_kubeconfig(name="a", entry="blue"), write_kubeconfig(name="b", entry="red")])
    assert merged is not None
    assert set(merged.contexts) == {"blue", "red"}
    assert merged.current_context == "blue"
    assert merged.context("red").name == "red"


def test_files_that_do_not_exist_are_passed_over(write_kubeconfig: Write, tmp_path: Path) -> None:
    merged = load([tmp_path / "nowhere", write_kubeconfig()])
    assert merged is not None
    assert merged.current_context == "here"
    assert load([tmp_path / "nowhere"]) is None


def test_empty_file_next_to_a_good_one_is_skipped(write_kubeconfig: Write, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    merged = load([empty, write_kubeconfig()])
    assert merged is not None
    assert set(merged.contexts) == {"here"}


def test_relative_paths_start_at_their_files_folder(write_kubeconfig: Write, tmp_path: Path) -> None:
    file = write_kubeconfig(
        name="deep/config", cluster={"server": "x", "certificate-authority": "../pki/ca.crt"}
    )
    merged = load([file])
    assert merged is not None
    assert merged.clusters["here"].path("certificate-authority") == tmp_path / "deep" / "../pki/ca.crt"


def test_kubeconfig_variable_lists_files_before_home(tmp_path: Path) -> None:
    listed = os.pathsep.join(["/a", "", "/b"])
    assert default_files({"KUBECONFIG": listed, "HOME": "/home/x"}) == [Path("/a"), Path("/b")]
    assert default_files({"KUBECONFIG": "", "HOME": "/home/x"}) == [Path("/home/x/.kube/config")]
    assert default_files({"HOME": str(tmp_path)}) == [tmp_path / ".kube" / "config"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n# nothing\n", "is empty"),
        (b"{}", "is empty"),
        (b"users: [\n  {token: secret-canary", "not YAML (line"),
        (b"token: \tsecret-canary\n\t- x", "not YAML (line"),
        (b"- just\n- a list", "of another kind"),
        (b"secret-canary", "of another kind"),
        (b"kind: Deployment\nmetadata: {name: x}", "of another kind"),
        (b"users: secret-canary", "users is not a list"),
        (b"users: [secret-canary]", "users is not a list"),
        (b"users: [{user: {token: secret-canary}}]", "users is not a list"),
        (b"contexts: [{name: a, context: secret-canary}]", "contexts is not a list"),
        (b"\xff\xfe\x00binary", "not text"),
        (b"a: !!python/object/apply:os.system ['false']", "not YAML"),
        (b"[" * 100_000, "not YAML"),
        (b"x" * (LIMIT + 1), "MB"),
    ],
)
def test_invalid_file_is_named_and_never_quoted(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    with pytest.raises(KubeconfigInvalid) as caught:
        load([file])
    text = str(caught.value)
    assert str(file) in text
    assert says in text
    assert "canary" not in text
    assert caught.value.mend


def test_file_of_ten_megabytes_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "config"
    with file.open("wb") as sparse:
        sparse.truncate(10_000_000)
    with pytest.raises(KubeconfigInvalid, match=r"10\.0 MB"):
        load([file])


def test_a_directory_is_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigInvalid, match="is a directory"):
        load([tmp_path])


def test_a_file_that_is_not_ours_to_read_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config"
    file.write_text("{}")
    file.chmod(0)
    if os.access(file, os.R_OK):  # root reads everything: let the system's answer stand in for the bits

        def refuse(self: Path, **_options: object) -> str:
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(KubeconfigInvalid, match="Permission denied") as caught:
        load([file])
    assert str(file) in str(caught.value)


def test_unknown_context_is_answered_with_the_known(write_kubeconfig: Write) -> None:
    kubeconfig = load(
        [write_kubeconfig(name="a", entry="production"), write_kubeconfig(name="b", entry="staging")]
    )
    assert kubeconfig is not None
    with pytest.raises(KubeconfigInvalid) as caught:
        kubeconfig.context("prodution")
    assert "production, staging" in str(caught.value)
    assert "did you mean 'production'?" in str(caught.value)


def test_missing_current_context_must_be_chosen(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("contexts: [{name: a, context: {cluster: c, user: u}}]")
    kubeconfig = load([file])
    assert kubeconfig is not None
    with pytest.raises(KubeconfigInvalid, match="no current context") as caught:
        kubeconfig.context()
    assert "context=" in str(caught.value)


def test_repr_holds_no_credentials(write_kubeconfig: Write) -> None:
    assert "canary" not in repr(load([write_kubeconfig(user={"token": "secret-canary"})]))
