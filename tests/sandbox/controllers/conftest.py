from __future__ import annotations

import pytest

from sspcloud_magics.sandbox.store import Store
from tests.sandbox.controllers.stage import NS


@pytest.fixture
def store() -> Store:
    filled = Store()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NS}}
    filled.create(account)
    return filled
