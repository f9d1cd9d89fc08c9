"""The API server before it has read the RBAC rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from sspcloud_magics.sandbox.api.app import build_app
from tests.sandbox.api.conftest import Api

PODS = "/api/v1/namespaces/user-alice/pods"


@pytest.fixture
def rbac_ready() -> asyncio.Event:
    return asyncio.Event()


@pytest_asyncio.fixture
async def starting(api: Api, rbac_ready: asyncio.Event) -> AsyncIterator[Api]:
    node: Any = None  # nothing here runs a pod
    async with TestClient(TestServer(build_app(api.store, node, api.auth, rbac_ready))) as http:
        yield Api(http, api.store, api.auth)


async def readiness(api: Api) -> tuple[int, str]:
    async with await api.send("GET", "/readyz") as answer:
        return answer.status, await answer.text()


async def test_starting_server_refuses_all_but_masters(starting: Api) -> None:
    code, reason, message = await starting.refusal("GET", PODS)
    assert (code, reason) == (403, "Forbidden")
    assert message.endswith('cannot list resource "pods" in API group "" in the namespace "user-alice"')
    assert (await starting.act_as("admin").get(PODS))["kind"] == "PodList"
    code, text = await readiness(starting)
    assert code == 500
    assert "[-]poststarthook/rbac/bootstrap-roles failed" in text


async def test_refusals_end_when_rbac_is_ready(starting: Api, rbac_ready: asyncio.Event) -> None:
    rbac_ready.set()
    assert (await starting.get(PODS))["kind"] == "PodList"
    assert await readiness(starting) == (200, "ok")
