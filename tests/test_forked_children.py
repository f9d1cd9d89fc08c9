"""Forked children wait for none of the parent's locks, and close none of its connections."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from sspcloud_magics import session, widgets
from sspcloud_magics.cluster.api import resources
from sspcloud_magics.cluster.requests.watch import Watch
from sspcloud_magics.forwards import helper
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.magics.completion import KnownNames
from sspcloud_magics.magics.sql_completion import KnownTables
from sspcloud_magics.session import session as session_module
from tests.support.forked_child import in_child
from tests.testbed import Sandbox

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork"),
    # Python says so from 3.12 on; users fork all the same.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

DATABASE = "postgresql-cnpg-951239"


@pytest.fixture
def alice(sandbox: Sandbox) -> Iterator[None]:
    """The Python API as alice, with a cluster, a forward, a database and the panel in use."""
    session.login(kubeconfig=sandbox.kubeconfig())
    session.pods()
    session.connect_db(DATABASE)
    session.forward("mon-api", 80)
    yield
    session.close()


LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Condition)


def locks_of_the_package() -> list[Any]:
    """Return each lock that a module or an object of the package holds: those that a fork may leave held.

    Left out are those of turns, which go with their session, and the one that a fork itself takes.
    """
    found = []
    for each in gc.get_objects():
        # Not isinstance: it asks a weak proxy for what it stands for, which may be gone.
        name = str(each.__name__ if issubclass(type(each), ModuleType) else type(each).__module__)
        if name.startswith("sspcloud_magics.") and not name.startswith(
            ("sspcloud_magics.sandbox", "sspcloud_magics.databases.session_lock")
        ):
            values = [getattr(each, slot, None) for slot in getattr(type(each), "__slots__", ())]
            found += [
                (each, value)
                for value in [*getattr(each, "__dict__", {}).values(), *values]
                if isinstance(value, LOCKS)
            ]
    return [(each, lock) for each, lock in found if lock is not helper._starting]


def test_child_waits_for_no_lock_of_the_parent(alice: None) -> None:
    panel = widgets.panel()
    holders = [
        KnownNames(),
        KnownTables(),
        panel,
        Watch(session_module.current_cluster(), resources.PODS),
    ]
    gc.collect()  # sessions of earlier tests are no part of this process
    held = locks_of_the_package()
    assert len(held) > len(holders)
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        mine = [lock for _, lock in held if lock.acquire(blocking=False)]
        taken.set()
        over.wait()
        for lock in mine:
            lock.release()

    def free_in_child() -> list[str]:
        for each in gc.get_objects():
            if issubclass(type(each), ForwardManager):
                each.forwards()  # at its first use it begins with nothing
        session.whoami(), session.pods(), session.forwards(), session.query_db("SELECT 1")
        return [
            f"{type(each).__module__} {each}"
            for each, lock in locks_of_the_package()
            if not lock.acquire(blocking=False)
        ]

    holding = threading.Thread(target=hold)
    holding.start()
    taken.wait()
    try:
        assert in_child(free_in_child) == []
    finally:
        over.set()
        holding.join()
        panel.close()


def _pods_seen(_: int) -> int:
    return len(session.pods())


def test_pool_of_forked_workers_asks_the_cluster(alice: None) -> None:
    """Their requests do not share the parent's connections, on which two answers would be mixed up."""
    expected = len(session.pods())
    asking = threading.Thread(target=lambda: [session.pods() for _ in range(20)])
    asking.start()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(_pods_seen, range(12), chunksize=1) == [expected] * 12
    asking.join()
    assert len(session.pods()) == expected


def test_childs_end_leaves_the_parents_watch(alice: None) -> None:
    watch = Watch(session_module.current_cluster(), resources.PODS)
    changes = watch.changes()
    assert (next(changes), len(next(changes) or {}) > 0) == (None, True)
    waiting: list[Any] = []
    thread = threading.Thread(target=lambda: waiting.extend(changes))
    thread.start()
    while watch._stream is None:
        pass
    stream = watch._stream

    def end_all() -> None:
        stream.close()
        watch.close()
        session.close()

    assert in_child(end_all) is None
    session.use_namespace("user-alice")
    assert thread.is_alive()
    assert not stream._answer.isclosed()
    watch.close()
    thread.join()


def test_child_has_no_panel(alice: None) -> None:
    panel = widgets.panel()
    for ask in (widgets.panel, lambda: repr(panel._repr_mimebundle_()) and widgets.panel()):
        assert in_child(ask).startswith("UsageProblem: A forked process has no panel")
    in_child(panel.controller.close)
    panel.controller.poll_once(30)
    assert panel.controller.snapshot
    panel.close()


CALLS: dict[str, Any] = {
    "whoami": lambda: session.whoami().user,
    "pods": lambda: len(session.pods()),
    "services": lambda: len(session.services()),
    "databases": lambda: len(session.databases()),
    "forwards": lambda: len(session.forwards()),
    "forward": lambda: session.forward("mon-api", 80).state,
    "unforward": lambda: len(session.forwards()),
    "connect_db": lambda: session.connect_db(DATABASE).user,
    "query_db": lambda: len(session.query_db("SELECT 1")),
    "tables": lambda: len(session.tables()),
    "shares": lambda: len(session.shares()),
    "shareable_schemas": lambda: len(session.shareable_schemas(DATABASE)),
    "use_namespace": lambda: str(session.use_namespace("user-alice")) and 1,
    "doctor": lambda: str(session.doctor("mon-api")) and 1,
}


@pytest.mark.parametrize("name", CALLS)
def test_public_call_works_in_a_child(alice: None, name: str) -> None:
    parents = [each.local_port for each in session_module.manager().forwards()]
    answer = in_child(CALLS[name])
    assert not str(answer).partition(":")[0].endswith(("Error", "Busy", "Lost", "Failed", "Problem")), answer
    assert [each.local_port for each in session_module.manager().forwards()] == parents
    assert len(session.query_db("SELECT 1")) == 1
