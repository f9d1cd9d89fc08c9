import pytest

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.forwards.manager import ForwardManager
from tests.forwards.stage import Watcher


@pytest.fixture
def cluster(testbed):
    found = find_cluster(kubeconfig=testbed.kubeconfig, context=testbed.context, namespace=testbed.namespace)
    yield found
    found.close()


@pytest.fixture
def manager():
    manager = ForwardManager()
    yield manager
    manager.close()


@pytest.fixture
def watcher(manager):
    return Watcher(manager)
