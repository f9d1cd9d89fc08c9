from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.integration.pods import Pods
from tests.testbed import Testbed


@pytest.fixture
def pods(testbed: Testbed) -> Iterator[Pods]:
    with contextlib.closing(Pods(testbed)) as made:
        yield made
