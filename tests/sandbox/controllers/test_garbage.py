"""The garbage collector, for all kinds of deletion."""

from __future__ import annotations

from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.controllers import garbage
from sspcloud_magics.sandbox.controllers.writes import owner_reference
from sspcloud_magics.sandbox.objects import find
from sspcloud_magics.sandbox.pods import is_terminating
from sspcloud_magics.sandbox.store import Change, Obj, Store
from tests.sandbox.controllers.stage import CONTAINER, NS, make


class TestGarbage:
    def create_owned(self, store: Store, name: str, *owners: Obj) -> None:
        references = [owner_reference(owner) for owner in owners]
        store.create(make("ConfigMap", name, ownerReferences=references))

    def test_object_without_owners_is_deleted(self, store: Store) -> None:
        first, second = (store.create(make("ConfigMap", name)) for name in ("first", "second"))
        self.create_owned(store, "owned", first, second)
        store.delete(kinds.CONFIG_MAPS, NS, "first")
        garbage.reconcile(store, (kinds.CONFIG_MAPS, NS, "owned"))
        references = store.get(kinds.CONFIG_MAPS, NS, "owned")["metadata"]["ownerReferences"]
        assert [reference["name"] for reference in references] == ["second"]
        store.delete(kinds.CONFIG_MAPS, NS, "second")
        garbage.reconcile(store, (kinds.CONFIG_MAPS, NS, "owned"))
        assert find(store, kinds.CONFIG_MAPS, NS, "owned") is None

    def test_deletion_queues_the_owned_and_the_waiting(self, store: Store) -> None:
        owner = store.create(make("ConfigMap", "owner"))
        self.create_owned(store, "owned", owner)
        store.create(make("ConfigMap", "free"))
        seen: list[Change] = []
        store.subscribe(seen.append)
        store.delete(kinds.CONFIG_MAPS, NS, "free")
        store.delete(kinds.CONFIG_MAPS, NS, "owner")
        store.delete(kinds.CONFIG_MAPS, NS, "owned")
        assert list(garbage.keys(store, seen[0])) == []
        assert list(garbage.keys(store, seen[2])) == [(kinds.CONFIG_MAPS, NS, "owner")]
        owner = store.create(make("ConfigMap", "owner"))
        self.create_owned(store, "owned", owner)
        store.delete(kinds.CONFIG_MAPS, NS, "owner")
        assert list(garbage.keys(store, seen[-1])) == [(kinds.CONFIG_MAPS, NS, "owned")]

    def test_recreated_owner_is_another(self, store: Store) -> None:
        first = store.create(make("ConfigMap", "owner"))
        self.create_owned(store, "owned", first)
        store.delete(kinds.CONFIG_MAPS, NS, "owner")
        store.create(make("ConfigMap", "owner"))
        garbage.reconcile(store, (kinds.CONFIG_MAPS, NS, "owned"))
        assert find(store, kinds.CONFIG_MAPS, NS, "owned") is None

    def test_foreground_waits_for_those_that_block(self, store: Store) -> None:
        owner = store.create(make("ConfigMap", "owner"))
        pod = make("Pod", "pod", {"containers": [CONTAINER]}, ownerReferences=[owner_reference(owner)])
        store.create(pod)
        owner = store.get(kinds.CONFIG_MAPS, NS, "owner")
        owner["metadata"] |= {
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["foregroundDeletion"],
        }
        store.update(owner)
        garbage.reconcile(store, (kinds.CONFIG_MAPS, NS, "owner"))
        assert is_terminating(store.get(kinds.PODS, NS, "pod"))
        assert find(store, kinds.CONFIG_MAPS, NS, "owner")
        store.delete(kinds.PODS, NS, "pod")
        garbage.reconcile(store, (kinds.CONFIG_MAPS, NS, "owner"))
        assert find(store, kinds.CONFIG_MAPS, NS, "owner") is None

    def test_owner_of_an_unknown_kind_is_left_alone(self, store: Store) -> None:
        reference = {"apiVersion": "example.org/v1", "kind": "Thing", "name": "x", "uid": "1"}
        store.create(make("ConfigMap", "owned", ownerReferences=[reference]))
        garbage.reconcile(store, (kinds.CONFIG_MAPS, NS, "owned"))
        assert find(store, kinds.CONFIG_MAPS, NS, "owned")
