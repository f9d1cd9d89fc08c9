"""The controller loop and its controllers: changes, errors and deadlines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers import cnpg, jobs, namespaces
from sspcloud_magics.sandbox.controllers.loop import Controller, ControllerLoop, Key
from sspcloud_magics.sandbox.controllers.volumes import Provisioner
from sspcloud_magics.sandbox.controllers.writes import create
from sspcloud_magics.sandbox.objects import find, name_of
from sspcloud_magics.sandbox.pods import condition
from sspcloud_magics.sandbox.store import Change, Obj, Store

NS = "user-alice"


@pytest.fixture
def store() -> Store:
    return Store()


async def wait_until_true(store: Store, condition: Callable[[], bool]) -> None:
    """Wait until a change of the store makes `condition` true."""
    met = asyncio.Event()
    unsubscribe = store.subscribe(lambda _: met.set() if condition() else None)
    try:
        if not condition():
            await asyncio.wait_for(met.wait(), 20)
    finally:
        unsubscribe()


@asynccontextmanager
async def run_loop(store: Store, *controllers: Controller) -> AsyncIterator[None]:
    loop = ControllerLoop(store, controllers)
    await loop.start()
    try:
        yield
    finally:
        await loop.stop()


def config(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NS}}


def config_keys(store: Store, change: Change) -> Iterator[Key]:
    del store
    if change.resource == kinds.CONFIG_MAPS:
        yield (name_of(change.object),)


def mark(store: Store, key: Key) -> None:
    found = find(store, kinds.CONFIG_MAPS, NS, str(key[0]))
    if found:
        store.update(found | {"data": {"seen": "yes"}})


def is_seen(store: Store, name: str) -> bool:
    return (find(store, kinds.CONFIG_MAPS, NS, name) or {}).get("data") == {"seen": "yes"}


class TestLoop:
    async def test_reconciles_existing_and_new_objects(self, store: Store) -> None:
        store.create(config("before"))
        async with run_loop(store, Controller("mark", config_keys, mark)):
            store.create(config("after"))
            await wait_until_true(store, lambda: is_seen(store, "before") and is_seen(store, "after"))

    async def test_error_of_one_key_stops_no_other_and_is_logged(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fails_for_one(store: Store, key: Key) -> None:
            if key == ("bad",):
                raise RuntimeError("bad luck")
            mark(store, key)

        with caplog.at_level(logging.ERROR):
            async with run_loop(store, Controller("mark", config_keys, fails_for_one)):
                store.create(config("bad"))
                store.create(config("good"))
                await wait_until_true(store, lambda: is_seen(store, "good"))
        assert "bad luck" in caplog.text

    async def test_calls_again_after_the_requested_time(self, store: Store) -> None:
        looked: list[Key] = []

        def twice(store: Store, key: Key) -> float | None:
            looked.append(key)
            if len(looked) == 2:
                mark(store, key)
                return None
            return 0.0

        async with run_loop(store, Controller("mark", config_keys, twice)):
            store.create(config("one"))
            await wait_until_true(store, lambda: is_seen(store, "one"))

    async def test_nothing_runs_after_the_stop(self, store: Store) -> None:
        before = asyncio.all_tasks()
        async with run_loop(store, Controller("mark", config_keys, mark)):
            pass
        store.create(config("late"))
        await asyncio.sleep(0)
        assert not is_seen(store, "late")
        assert asyncio.all_tasks() == before


async def test_a_share_ends_at_its_deadline(store: Store) -> None:
    spec = {"parallelism": 0, "activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": 0}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "share", "namespace": NS},
        "spec": spec,
    }
    async with run_loop(store, jobs.CONTROLLER):
        create(store, job)
        await wait_until_true(store, lambda: find(store, kinds.JOBS, NS, "share") is None)


class TestNamespaces:
    def namespace(self, store: Store) -> None:
        store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})

    async def test_get_an_account_and_the_ca(self, store: Store) -> None:
        async with run_loop(store, namespaces.controller("PEM")):
            self.namespace(store)
            await wait_until_true(
                store, lambda: find(store, kinds.CONFIG_MAPS, NS, namespaces.ROOT_CA) is not None
            )
        assert find(store, kinds.SERVICE_ACCOUNTS, NS, "default")
        assert store.get(kinds.CONFIG_MAPS, NS, namespaces.ROOT_CA)["data"] == {"ca.crt": "PEM"}

    async def test_are_deleted_with_all_their_objects(self, store: Store) -> None:
        self.namespace(store)
        store.create(config("mine"))
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": NS}, "spec": {}}
        store.create(pod)
        ending = store.get(kinds.NAMESPACES, "", NS)
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        store.update(ending)
        async with run_loop(store, namespaces.controller("PEM")):
            await wait_until_true(store, lambda: find(store, kinds.CONFIG_MAPS, NS, "mine") is None)
            await wait_until_true(
                store, lambda: "deletionTimestamp" in store.get(kinds.PODS, NS, "p")["metadata"]
            )
            assert store.get(kinds.NAMESPACES, "", NS)["status"] == {"phase": "Terminating"}
            store.delete(kinds.PODS, NS, "p")
            await wait_until_true(store, lambda: find(store, kinds.NAMESPACES, "", NS) is None)


class TestCloudNativePG:
    F = "postgresql-cnpg-951239"

    @asynccontextmanager
    async def operator(self, store: Store, home: Path) -> AsyncIterator[list[Path]]:
        filled: list[Path] = []

        def fill(directory: Path) -> None:
            filled.append(directory)
            (directory / "pgdata").mkdir()

        metadata = {"name": self.F, "namespace": NS}
        disabled = {"services": {"disabledDefaultServices": ["ro", "r"]}}
        kind = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster"}
        store.create(kind | {"metadata": metadata, "spec": {"instances": 1, "managed": disabled}})
        provisioner = Provisioner(store, home / "volumes", lambda _: fill)
        await provisioner.start()
        try:
            async with run_loop(store, cnpg.CONTROLLER):
                yield filled
        finally:
            await provisioner.stop()

    def pod(self, store: Store, serial: int) -> Obj | None:
        return find(store, kinds.PODS, NS, f"{self.F}-{serial}")

    async def test_cluster_gets_one_instance_service_and_secrets(self, store: Store, tmp_path: Path) -> None:
        async with self.operator(store, tmp_path):
            await wait_until_true(store, lambda: self.pod(store, 1) is not None)
        assert [name_of(one) for one in store.list_objects(kinds.SERVICES, NS)] == [f"{self.F}-rw"]
        secrets = {name_of(one).removeprefix(self.F) for one in store.list_objects(kinds.SECRETS, NS)}
        assert secrets == {"-app", "-ca", "-server", "-superuser"}
        pod = self.pod(store, 1)
        assert pod is not None
        service = store.get(kinds.SERVICES, NS, f"{self.F}-rw")
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()

    async def test_instance_keeps_its_name_while_its_claim_lives(self, store: Store, tmp_path: Path) -> None:
        async with self.operator(store, tmp_path) as filled:
            await wait_until_true(store, lambda: self.pod(store, 1) is not None)
            before = store.delete(kinds.PODS, NS, f"{self.F}-1")["metadata"]["uid"]
            await wait_until_true(store, lambda: self.pod(store, 1) is not None)
            after = store.get(kinds.PODS, NS, f"{self.F}-1")["metadata"]["uid"]
        assert after != before
        assert len(filled) == 1

    async def test_instance_gets_the_next_name_without_its_claim(self, store: Store, tmp_path: Path) -> None:
        async with self.operator(store, tmp_path) as filled:
            await wait_until_true(store, lambda: self.pod(store, 1) is not None)
            assert len(filled) == 1
            (tmp_path / "volumes" / NS / f"{self.F}-1" / "pgdata" / "rows").write_text("kept")
            store.delete(kinds.CLAIMS, NS, f"{self.F}-1")
            store.delete(kinds.PODS, NS, f"{self.F}-1")
            await wait_until_true(store, lambda: self.pod(store, 2) is not None)
        assert self.pod(store, 1) is None
        assert (tmp_path / "volumes" / NS / f"{self.F}-2" / "pgdata" / "rows").read_text() == "kept"

    def test_hibernated_has_a_claim_and_no_pod(self, store: Store) -> None:
        metadata = {"name": self.F, "namespace": NS, "annotations": {cnpg.HIBERNATION: "on"}}
        kind = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster"}
        store.create(kind | {"metadata": metadata, "spec": {"instances": 1}})
        cnpg.reconcile(store, (NS, self.F))
        claim = store.get(kinds.CLAIMS, NS, f"{self.F}-1")
        store.update(claim | {"status": {"phase": "Bound"}})
        cnpg.reconcile(store, (NS, self.F))
        assert store.list_objects(kinds.PODS, NS) == []
        assert condition(store.get(kinds.CLUSTERS, NS, self.F), cnpg.HIBERNATION) == "True"
        awake = store.get(kinds.CLUSTERS, NS, self.F)
        awake["metadata"]["annotations"][cnpg.HIBERNATION] = "off"
        store.update(awake)
        cnpg.reconcile(store, (NS, self.F))
        assert self.pod(store, 1) is not None
        assert condition(store.get(kinds.CLUSTERS, NS, self.F), cnpg.HIBERNATION) is None


class TestProvisioner:
    def claim(self, store: Store, name: str = "data") -> None:
        spec = {"resources": {"requests": {"storage": "1Gi"}}}
        metadata = {"name": name, "namespace": NS}
        kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        create(store, kind | {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}})

    def is_bound(self, store: Store, name: str = "data") -> bool:
        return store.get(kinds.CLAIMS, NS, name)["status"]["phase"] == "Bound"

    async def test_begins_with_bound_claims_and_databases(self, store: Store, tmp_path: Path) -> None:
        place = tmp_path / "volumes" / NS
        for volume in ("bound", "data", "db-1", "other-1"):
            (place / volume / "old").mkdir(parents=True)
        self.claim(store)
        self.claim(store, "bound")
        store.update(store.get(kinds.CLAIMS, NS, "bound") | {"status": {"phase": "Bound"}})
        database = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster"}
        store.create(database | {"metadata": {"name": "db", "namespace": NS}, "spec": {"instances": 1}})
        provisioner = Provisioner(store, tmp_path / "volumes", lambda _: lambda _: None)
        await provisioner.start()
        await wait_until_true(store, lambda: self.is_bound(store))
        await provisioner.stop()
        left = {path.name: len(list(path.iterdir())) for path in place.iterdir()}
        assert left == {"bound": 1, "data": 0, "db-1": 1}
        assert not list(tmp_path.glob("discarded-*"))  # noqa: ASYNC240 - nothing else waits

    async def test_unfillable_volume_is_logged_and_removed(
        self, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fails(directory: Path) -> None:
            (directory / "half").touch()
            raise OSError("no space left")

        provisioner = Provisioner(store, tmp_path / "volumes", lambda _: fails)
        await provisioner.start()
        with caplog.at_level(logging.ERROR):
            self.claim(store)
            await provisioner.stop()
        assert not self.is_bound(store)
        assert "no space left" in caplog.text
        assert not (tmp_path / "volumes" / NS / "data").exists()
