"""A watch on a real sandbox: its changes, the fallback to lists without the permission, and its end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sspcloud_magics.cluster.api.api_errors import Expired
from sspcloud_magics.cluster.api.client import ResponseStream
from sspcloud_magics.cluster.api.resources import SECRETS, Attempt
from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.cluster.requests import object_writes
from sspcloud_magics.cluster.requests.watch import Watch
from sspcloud_magics.errors import Forbidden
from tests.support.api_server import ApiServer, Asked
from tests.testbed import Sandbox

SECONDS = 30.0


@contextmanager
def read_watch(watch: Watch) -> Iterator[queue.Queue[Any]]:
    """Yield the changes of a watch, which a thread reads."""
    found: queue.Queue[Any] = queue.Queue()

    def read() -> None:
        for change in watch.changes():
            found.put(change)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield found
    finally:
        watch.close()
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def alice(sandbox: Sandbox) -> Iterator[Cluster]:
    cluster = find_cluster(kubeconfig=sandbox.kubeconfig("alice"))
    yield cluster
    cluster.close()


def make(cluster: Cluster, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    cluster.api.ask(Attempt("create", SECRETS, cluster.namespace), body=body)


def test_what_comes_and_goes_is_told(alice: Cluster) -> None:
    with read_watch(Watch(alice, SECRETS)) as changes:
        assert changes.get(timeout=SECONDS) is None
        assert "watched" not in changes.get(timeout=SECONDS)
        make(alice, "watched")
        assert changes.get(timeout=SECONDS)["watched"]["kind"] == "Secret"
        object_writes.delete_object(alice, SECRETS, "watched", alice.namespace)
        assert changes.get(timeout=SECONDS) == {"watched": None}


def test_forgotten_version_starts_a_new_list(alice: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, once = alice.api.watch, iter([Expired("gone")])

    def forgetful(*arguments: Any, **named: Any) -> ResponseStream:
        for error in once:
            raise error
        return watch(*arguments, **named)

    monkeypatch.setattr(alice.api, "watch", forgetful)
    with read_watch(Watch(alice, SECRETS)) as changes:
        first = [changes.get(timeout=SECONDS) for _ in range(4)]
    assert [each is None for each in first] == [True, False, True, False]


def test_who_may_not_watch_is_served_by_lists(alice: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_named: Any) -> ResponseStream:
        raise Forbidden("You may not watch.")

    monkeypatch.setattr(alice.api, "watch", refuse)
    with read_watch(Watch(alice, SECRETS, poll=0.05)) as changes:
        changes.get(timeout=SECONDS)
        make(alice, "listed")
        while "listed" not in (changes.get(timeout=SECONDS) or ()):
            pass
    object_writes.delete_object(alice, SECRETS, "listed", alice.namespace)


def test_cut_watch_resumes_where_it_was(alice: Cluster) -> None:
    watch = Watch(alice, SECRETS, short=0.05)
    with read_watch(watch) as changes:
        changes.get(timeout=SECONDS)
        changes.get(timeout=SECONDS)
        make(alice, "before")
        assert "before" in changes.get(timeout=SECONDS)
        assert watch._stream is not None
        watch._stream._answer.shutdown()  # what stands between has cut it
        make(alice, "after")
        assert list(changes.get(timeout=SECONDS)) == ["after"], "and nothing is told twice"
    for name in ("before", "after"):
        object_writes.delete_object(alice, SECRETS, name, alice.namespace)


def test_who_may_not_list_is_told_so(sandbox: Sandbox) -> None:
    cluster = find_cluster(kubeconfig=sandbox.kubeconfig("bob"), namespace="user-carol")
    with pytest.raises(Forbidden):
        next(Watch(cluster, SECRETS).changes())
    cluster.close()


ODD = {
    "an empty object": b'{"type": "MODIFIED", "object": {}}',
    "no name": b'{"type": "ADDED", "object": {"metadata": {"resourceVersion": "8"}}}',
    "a name that is none": b'{"type": "ADDED", "object": {"metadata": {"name": [], "resourceVersion": "8"}}}',
    "no object": b'{"type": "MODIFIED"}',
    "null": b"null",
    "an error without a code": b'{"type": "ERROR", "object": {}}',
    "an error of the server": b'{"type": "ERROR", "object": {"code": 500, "message": "etcd has a new leader"}}',
    "a word": b'"MODIFIED"',
    "no JSON": b"<html>",
    "no UTF-8": b'{"type": "\xff"}',
    "too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("line", ODD.values(), ids=ODD)
def test_odd_event_followed_by_a_new_list(api: ApiServer, cluster: Cluster, line: bytes) -> None:
    lists = iter(["first", "second"])

    def answer(asked: Asked) -> Any:
        if "watch" in asked.query:
            return 200, "application/json", line + b"\n"
        items = [{"metadata": {"name": next(lists, "later")}}]
        return {"metadata": {"resourceVersion": "7"}, "items": items}

    api.answers["/api/v1/namespaces/user-bob/secrets"] = answer
    with read_watch(Watch(cluster, SECRETS, short=0.05)) as changes:
        found = [changes.get(timeout=SECONDS) for _ in range(4)]
    assert [each and list(each) for each in found] == [None, ["first"], None, ["second"]]
