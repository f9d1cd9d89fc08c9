import pytest

from sspcloud_magics.forwards import ForwardManager
from sspcloud_magics.target import Target
from tests.forwards.stage import Person, Watcher, double


@pytest.fixture
def manager():
    manager = ForwardManager(double)
    yield manager
    manager.close()


@pytest.fixture
def watcher(manager):
    return Watcher(manager)


@pytest.fixture
def person():
    return Person()


@pytest.fixture
def target():
    return Target("user-bob", "pod", "echo")
