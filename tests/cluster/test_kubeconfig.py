from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.cluster.config import kubeconfig_file
from sspcloud_magics.cluster.config.kubeconfig import LIMIT, default_files, load, usable
from sspcloud_magics.cluster.config.kubeconfig_edit import KubeconfigEdit, assign
from sspcloud_magics.cluster.config.kubeconfig_yaml import compose, construct
from sspcloud_magics.cluster.login_script import read_script
from sspcloud_magics.errors import KubeconfigInvalid, SspcloudError

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
        (b"\xff\xfe\x00binary", "not text"),
        (b"[" * 100_000, "more than 100 levels"),
        (b"x" * (LIMIT + 1), "MiB"),
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
    assert caught.value.hint


# Ten keys, and twenty levels each of which merges the level below four times.
MERGES = (
    "{a0: &a0 {"
    + ", ".join(f"k{at}: secret-canary" for at in range(10))
    + "}, "
    + ", ".join(
        f"a{level}: &a{level} {{<<: [" + ", ".join([f"*a{level - 1}"] * 4) + "]}" for level in range(1, 21)
    )
    + ", <<: *a20}"
)


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ("{a: " + "[" * 101 + "]" * 101 + "}", "more than 100 levels"),
        ("{a: &a [" + "secret-canary, " * 400 + "], b: [" + "*a, " * 400 + "]}", "more than 100,000 values"),
        (MERGES, "more than 100,000 values"),
    ],
    ids=["deep", "aliases", "merges"],
)
def test_entry_with_too_much_in_it_is_refused(tmp_path: Path, user: str, says: str) -> None:
    file = tmp_path / "config"
    file.write_text(f"users: [{{name: a, user: {user}}}]")
    found = load([file])
    assert found is not None
    with pytest.raises(KubeconfigInvalid, match=says) as caught:
        usable(found.users["a"], "user")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("scalar", ["1e" + "_" * (1 << 20), "0x" + "f" * 4000], ids=["underscores", "digits"])
def test_scalar_too_long_for_a_number_is_text(scalar: str) -> None:
    """A pattern that takes time with the square of the length would take hours for the first."""
    root = compose(f"a: {scalar}")
    assert root is not None
    assert construct(root) == {"a": scalar}


@pytest.mark.parametrize("user", [MERGES, "{<<: [1, 2], token: old}"], ids=["merges", "no mapping"])
def test_entry_that_cannot_be_merged_is_replaced(user: str) -> None:
    edit = KubeconfigEdit(f"users: [{{name: a, user: {user}}}]", "config")
    assign(edit.entry("users", "a"), {"token": "new"})
    assert edit.text() == "users: [{name: a, user: {token: new}}]\n"


def test_file_of_ten_megabytes_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "config"
    with file.open("wb") as sparse:
        sparse.truncate(10_000_000)
    with pytest.raises(KubeconfigInvalid, match=r"9\.5 MiB"):
        load([file])


def test_a_directory_is_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigInvalid, match="is a directory"):
        load([tmp_path])


@pytest.fixture
def as_other_user() -> Iterator[None]:
    """Run as a user who does not own the files, if possible: root can read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """Make a folder that only root can enter."""
    folder = tmp_path / "closed"
    folder.mkdir()
    for name in ("config", "token", "ca.crt"):
        (folder / name).write_text("{}")
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.mark.parametrize(
    "use",
    [
        lambda folder: find_cluster(kubeconfig=folder / "config"),
        lambda folder: find_cluster(environ={"KUBECONFIG": str(folder / "config")}),
        lambda folder: find_cluster(mount=folder, environ={"HOME": str(folder)}),
        lambda folder: find_cluster(
            server="https://x", token_file=folder / "token", ca_file=folder / "ca.crt"
        ),
        lambda folder: find_cluster(server="https://x", token_file=folder / "token").access(),
        lambda folder: read_script(folder / "config"),
        lambda folder: kubeconfig_file.check_writable(folder / "config"),
    ],
    ids=["kubeconfig", "KUBECONFIG", "home", "CA", "token", "login script", "login"],
)
def test_folder_that_one_may_not_enter_is_told(
    closed_folder: Path, as_other_user: None, use: Callable[[Path], object]
) -> None:
    with pytest.raises(SspcloudError, match="Permission denied"):
        use(closed_folder)


@pytest.mark.parametrize("value", ["REDACTED", "DATA+OMITTED"])
@pytest.mark.parametrize("key", ["token", "client-key-data", "client-certificate-data"])
def test_what_kubectl_leaves_out_is_told_with_raw(write_kubeconfig: Write, key: str, value: str) -> None:
    user = {"client-certificate-data": "YQ==", "client-key-data": "YQ=="} | {key: value}
    with pytest.raises(KubeconfigInvalid, match=r"kubectl config view --raw"):
        find_cluster(kubeconfig=write_kubeconfig(user=user), environ={}).access()
    cluster = {"server": "https://x", "certificate-authority-data": value}
    with pytest.raises(KubeconfigInvalid, match=r"kubectl config view --raw"):
        find_cluster(kubeconfig=write_kubeconfig(cluster=cluster), environ={}).access()


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
