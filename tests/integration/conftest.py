from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from kubernetes import client, config

from tests.integration.pods import Pods
from tests.testbed import Testbed


@pytest.fixture
def pods(testbed: Testbed) -> Iterator[Pods]:
    with contextlib.closing(Pods(testbed)) as made:
        yield made


@pytest.fixture(scope="session")
def minor(testbed: Testbed) -> int:
    """The minor version of the testbed's Kubernetes."""
    with config.new_client_from_config(str(testbed.kubeconfig), context=testbed.context) as api:
        found = re.match(r"\d+", client.VersionApi(api).get_code().minor)
    assert found
    return int(found[0])
