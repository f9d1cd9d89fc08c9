"""kubectl's everyday in cells: what they show, what they refuse, what they ask, and interrupts."""

from __future__ import annotations

import builtins
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import sspcloud_magics as ssp
from sspcloud_magics import errors, session
from sspcloud_magics.cluster.requests import manifests
from sspcloud_magics.magics import objects
from tests.kubectl.conftest import sleeper
from tests.magics.conftest import Notebook
from tests.support.waiting import wait_until
from tests.testbed import Sandbox

SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  colour: blue\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: settings\nstringData:\n  word: canary-word\n"
OTHER = SETTINGS.replace("settings", "other")


@pytest.fixture
def bob(notebook: Notebook, sandbox: Sandbox) -> Iterator[Notebook]:
    """A notebook of Bob's, without the objects of these tests."""
    login = f"%k8s_login --kubeconfig {sandbox.kubeconfig('bob')}"
    notebook.run(login)
    yield notebook
    notebook.run(login)
    for kind, name in (
        ("cm", "settings"),
        ("cm", "other"),
        ("pod", "chatty"),
        ("cm", "owner"),
        ("cm", "owned"),
    ):
        try:
            ssp.delete(kind, name, yes=True)
        except errors.SspcloudError:
            continue


def test_cell_applies_and_says_it_in_kubectls_words(bob: Notebook) -> None:
    assert repr(bob.run(f"%%k8s_apply\n{SETTINGS}---\n{OTHER}")) == (
        "configmap/settings created\nconfigmap/other created"
    )
    answer = bob.run(f"answer = %%k8s_apply\n{SETTINGS.replace('blue', 'red')}---\n{OTHER}")
    assert answer is None
    assert repr(bob.shell.user_ns["answer"]) == "configmap/settings configured\nconfigmap/other unchanged"


def test_file_is_applied(bob: Notebook, tmp_path: Path) -> None:
    path = tmp_path / "with blank.yaml"
    path.write_text(SETTINGS)
    assert repr(bob.run(f"%k8s_apply '{path}'")) == "configmap/settings created"
    secret = tmp_path / "secret.yaml"
    secret.write_text(SECRET)
    assert repr(bob.run(f"%k8s_apply {secret} --dry-run")).startswith(
        "secret/settings created (server dry run)"
    )
    assert "canary" not in bob.printed
    utf16 = tmp_path / "windows.yaml"
    utf16.write_bytes(SETTINGS.encode("utf-16"))
    assert repr(bob.run(f"%k8s_apply {utf16}")) == "configmap/settings unchanged"


def test_dry_run_shows_a_coloured_difference(bob: Notebook) -> None:
    bob.run(f"%%k8s_apply\n{SETTINGS}")
    answer = bob.run(f"%%k8s_apply --dry-run\n{SETTINGS.replace('blue', '<red>')}")
    lines = repr(answer).splitlines()
    assert lines[0] == "configmap/settings configured (server dry run)"
    assert [line for line in lines if line[0] in "+-"] == ["-  colour: blue", "+  colour: <red>"]
    assert lines[-1] == "Nothing was stored."
    html = answer._repr_html_()
    assert 'success-color1, #2e8b3d)">+  colour: &lt;red&gt;</span>' in html
    assert ssp.get_yaml("cm/settings").count("blue") == 1


BAD: dict[str, tuple[str, str]] = {
    "not yaml": ("%%k8s_apply\na: b: c", "not YAML: line 1"),
    "a list": ("%%k8s_apply\n- a", "not an object of Kubernetes"),
    "nothing": ("%%k8s_apply\n\n", "Give the YAML in the cell"),
    "both": (f"%%k8s_apply a.yaml\n{SETTINGS}", "Give the YAML in the cell"),
    "no file": ("%k8s_apply no-such-file.yaml", "no-such-file.yaml cannot be read"),
    "a folder": ("%k8s_apply .", "cannot be read"),
    "an address": ("%k8s_apply https://example.org/a.yaml", "cannot be read"),
    "secret": (f"%%k8s_apply\n{SECRET}", "The values of a Secret are not accepted"),
    "password": (f"%%k8s_apply\n{SETTINGS}  url: postgresql://ana:pa55@db/x\n", "not accepted in the cell"),
    "kind": (f"%%k8s_apply\n{SETTINGS.replace('ConfigMap', 'ConfigMapp')}", "no kind ConfigMapp"),
    "version": (f"%%k8s_apply\n{SETTINGS.replace('v1', 'v2')}", "no ConfigMap in v2"),
    "placeholder": (f"%%k8s_apply\n{SETTINGS.replace('settings', 'user-XXXXXXXX')}", "placeholder"),
    "their namespace": (f"%%k8s_apply -n user-alice\n{SETTINGS}", "You may not patch"),
    "two namespaces": (
        f"%%k8s_apply -n user-bob\n{SETTINGS.replace('name:', 'namespace: user-alice' + chr(10) + '  name:')}",
        "names the namespace user-alice",
    ),
    "field": (f"%%k8s_apply\n{SETTINGS}colour: red\n", "refuses configmap/settings, line 7"),
    "value": (f"%%k8s_apply\n{SETTINGS.replace('settings', 'Settings')}", "refuses configmap/Settings, line 4"),
    "get kind": ("%k8s_get podz", "no kind podz"),
    "get name": ("%k8s_get pod no-such-pod", "does not exist"),
    "get theirs": ("%k8s_get pods -n user-alice", "You may not list pods in user-alice"),
    "name of a path": (f"%%k8s_apply\n{SETTINGS.replace('settings', 'a/b')}", "a/b is not a name"),
    "get ..": ("%k8s_get cm ..", ".. is not a name"),
    "get namespace ..": ("%k8s_get pods -n ..", ".. is not a name"),
    "get /": ("%k8s_get /pod", "no kind /pod"),
    "describe ..": ("%k8s_describe pod ..", ".. is not a name"),
    "logs ..": ("%k8s_logs ..", ".. is not a name"),
    "logs of nothing": ("%k8s_logs deploy/", "Name the pod"),
    "delete ..": ("%k8s_delete pod .. --yes", ".. is not a name"),
    "get both": ("%k8s_get pod/a b", "two objects"),
    "describe nothing": ("%k8s_describe pod", "Name the object"),
    "logs": ("%k8s_logs no-such-pod", "does not exist"),
    "logs -f -p": ("%k8s_logs a -f -p", "no new lines"),
    "delete nothing": ("%k8s_delete pod", "Name the object"),
    "delete": ("%k8s_delete cm nothing", "does not exist"),
}  # fmt: skip


@pytest.mark.parametrize(("cell", "what"), BAD.values(), ids=BAD)
def test_bad_input_is_an_error_with_a_hint(bob: Notebook, cell: str, what: str) -> None:
    error = bob.fail(cell)
    assert isinstance(error, errors.SspcloudError)
    assert what in error.what
    assert error.hint or error.why
    assert "canary" not in bob.printed
    assert "pa55" not in bob.printed
    assert not ssp.get("cm").query("name == 'settings'").size


def test_misspelt_kind_has_the_nearest(bob: Notebook) -> None:
    assert bob.fail("%k8s_get podz").hint == "did you mean pod?"  # type: ignore[attr-defined]
    hint = bob.fail(BAD["kind"][0]).hint  # type: ignore[attr-defined]
    assert hint == "did you mean ConfigMap?"


def test_large_and_binary_files_are_refused(bob: Notebook, tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text(SETTINGS + "#" * manifests.LONGEST)
    assert "too large: 1 MiB" in str(bob.fail(f"%k8s_apply {large}"))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\x80\x81")
    assert "not a text file" in str(bob.fail(f"%k8s_apply {binary}"))


def test_refusal_says_what_was_applied_before(bob: Notebook) -> None:
    refused = SETTINGS.replace("settings", "Refused")
    error = bob.fail(f"%%k8s_apply\n{SETTINGS}---\n{refused}---\n{OTHER}")
    assert "Applied before: configmap/settings created. Not sent: configmap/other." in str(error)


def test_interrupt_says_what_was_applied_before(bob: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    from sspcloud_magics.session import manifests as session_manifests

    apply_one = session_manifests.apply_manifest

    def interrupt_second(cluster: Any, kind: Any, manifest: Any, *rest: Any, **options: Any) -> Any:
        if manifest.name == "other":
            raise KeyboardInterrupt
        return apply_one(cluster, kind, manifest, *rest, **options)

    monkeypatch.setattr(session_manifests, "apply_manifest", interrupt_second)
    third = SETTINGS.replace("settings", "third")
    assert isinstance(bob.fail(f"%%k8s_apply\n{SETTINGS}---\n{OTHER}---\n{third}"), KeyboardInterrupt)
    assert bob.printed.strip() == (
        "KeyboardInterrupt: %k8s_apply was interrupted. "
        "Applied before: configmap/settings created. Not sent: configmap/third."
    )


def test_table_is_a_dataframe(bob: Notebook) -> None:
    bob.run(f"%%k8s_apply\n{SETTINGS}")
    table = bob.run("%k8s_get cm settings")
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == ["namespace", "name", "data", "age"]
    assert (table["name"][0], table["data"][0]) == ("settings", 1)
    assert repr(table).splitlines()[0] == "NAME       DATA   AGE"
    assert "colour: blue" in repr(bob.run("%k8s_get cm settings -o yaml"))
    assert bob.run("%k8s_get cm -l no=such").empty
    assert "configmaps" in list(bob.run("%k8s_get kinds")["name"])


def test_described_pod_has_conditions_and_events(bob: Notebook) -> None:
    ssp.apply({**sleeper("chatty")}, wait=True)
    described = bob.run("%k8s_describe pod chatty")
    conditions = dict(zip(described.conditions["type"], described.conditions["status"], strict=True))
    assert (conditions["Ready"], conditions["container main"]) == ("True", "running")
    times = list(described.events["time"])
    assert times == sorted(times)
    assert {"Scheduled", "Started"} <= set(described.events["reason"])
    assert set(described.events["reason"]) <= set(ssp.events("pod", "chatty")["reason"])
    assert "<b>pod/chatty (user-bob)</b>" in described._repr_html_()


def test_description_is_shown_without_forbidden_events(bob: Notebook) -> None:
    """The events of a namespace are in another one."""
    described = bob.run("%k8s_describe namespace user-bob")
    assert repr(described).splitlines() == [
        "namespace/user-bob",
        "",
        "No conditions.",
        "",
        "You may not list its events.",
    ]


def test_log_is_text_without_control_characters(bob: Notebook) -> None:
    pod = sleeper("chatty")
    # A line with a colour, one that overwrites the terminal's title, and one with a tab.
    pod["spec"]["containers"][0]["args"] = ["say", "\x1b[31mred\x1b[0m", "\x1b]0;evil\x07", "a\tb"]
    ssp.apply(pod)
    wait_until(lambda: "a\tb" in ssp.logs("chatty"))
    assert bob.run("%k8s_logs chatty").splitlines() == ["red", r"\x1b]0;evil\x07", "a\tb"]
    assert bob.run("%k8s_logs chatty --tail 1") == "a\tb"
    assert "The last line; --tail -1 shows all." in bob.printed


def test_followed_log_ends_by_interrupt(bob: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = sleeper("chatty")
    pod["spec"]["containers"][0]["args"] = ["say", "one", "two"]
    ssp.apply(pod)
    wait_until(lambda: "two" in ssp.logs("chatty"))
    main = threading.main_thread().ident
    assert main is not None
    follow = session.follow_logs

    def follow_and_interrupt(*words: str, **options: Any) -> Iterator[str]:
        for line in follow(*words, **options):
            yield line
            if line == "two":
                threading.Thread(target=signal.pthread_kill, args=(main, signal.SIGINT)).start()

    monkeypatch.setattr(session, "follow_logs", follow_and_interrupt)
    assert bob.run("%k8s_logs chatty -f") is None
    assert "one\ntwo\n" in bob.printed
    assert ssp.get("pods", "chatty")["status"][0] == "Running"


def make_owned(uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "ownerReferences": [owner]},
    }


@pytest.fixture
def family(bob: Notebook) -> Notebook:
    ssp.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    uid = next(line for line in ssp.get_yaml("cm/owner").splitlines() if "uid:" in line).split()[1]
    ssp.apply(make_owned(uid))
    return bob


def test_delete_says_what_goes_with_it(family: Notebook) -> None:
    preview = str(family.run("%k8s_delete cm owner --dry-run"))
    assert preview == "configmap/owner would be deleted.\nWith it: configmap/owned."
    assert str(family.run("%k8s_delete cm/owner")) == "configmap/owner deleted.\nWith it: configmap/owned."
    assert "owner" not in list(ssp.get("cm")["name"])


@pytest.mark.parametrize(("answer", "gone"), [("y", True), ("Oui", True), ("", False), ("n", False)])
def test_delete_asks_where_it_is_not_yours(
    family: Notebook, monkeypatch: pytest.MonkeyPatch, answer: str, gone: bool
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(objects, "is_watched", lambda: True)
    monkeypatch.setattr(builtins, "input", lambda words: asked.append(words) or answer)
    if gone:
        assert str(family.run("%k8s_delete cm owned")) == "configmap/owned deleted."
    else:
        assert "was not deleted" in str(family.fail("%k8s_delete cm owned"))
    assert asked[0].startswith("It belongs to configmap/owner, which may create it again.\n")
    assert ("owned" in list(ssp.get("cm")["name"])) is not gone


def test_delete_without_an_answer_deletes_nothing(family: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    def close(_words: str) -> str:
        raise EOFError

    monkeypatch.setattr(objects, "is_watched", lambda: True)
    monkeypatch.setattr(builtins, "input", close)
    assert "was not deleted" in str(family.fail("%k8s_delete cm owned"))


def test_delete_does_not_ask_a_machine(family: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "is_watched", lambda: False)
    monkeypatch.setattr(builtins, "input", lambda _words: pytest.fail("it asked"))
    assert "--yes" in family.fail("%k8s_delete cm owned").hint  # type: ignore[attr-defined]
    assert str(family.run("%k8s_delete cm owned --yes")) == "configmap/owned deleted."


def test_parts_of_a_service_are_not_deleted_silently(notebook: Notebook, sandbox: Sandbox) -> None:
    notebook.run(f"%k8s_login --kubeconfig {sandbox.kubeconfig('alice')}")
    with pytest.raises(errors.UsageProblem, match="was not deleted") as raised:
        ssp.delete("secret", "postgresql-cnpg-951239")
    assert "a part of your service postgresql-cnpg-951239" in raised.value.why


def test_tab_completes_kinds_and_names(bob: Notebook) -> None:
    bob.run(f"%%k8s_apply\n{SETTINGS}")
    known = bob.shell._sspcloud_magics.known
    known.wait()
    assert "%k8s_get configmaps" in bob.complete("%k8s_get conf")
    bob.complete("%k8s_get cm ")
    known.wait()
    assert "%k8s_get cm settings" in bob.complete("%k8s_get cm set")
    assert "%k8s_delete cm/settings" in bob.complete("%k8s_delete cm/set")
    bob.complete("%k8s_logs ")
    known.wait()
    assert bob.complete("%k8s_get zzz") == []
    assert "%k8s_get cm -o yaml" in bob.complete("%k8s_get cm -o y")
    assert bob.complete("%k8s_apply a.yaml --dr") == ["%k8s_apply a.yaml --dry-run"]
    assert bob.complete("%%k8s_apply --wa") == ["%%k8s_apply --wait"]
