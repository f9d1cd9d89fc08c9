"""An API server in this process, and clients of it: one for each person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from sspcloud_magics.sandbox.api.app import build_app
from sspcloud_magics.sandbox.auth.authenticator import Authenticator
from sspcloud_magics.sandbox.auth.bootstrap import install_bootstrap_policy
from sspcloud_magics.sandbox.auth.rbac import GROUP
from sspcloud_magics.sandbox.auth.tokens import new_signing_key
from sspcloud_magics.sandbox.store import Obj, Store

KEY = new_signing_key()  # making one takes longer than a test


@dataclass(frozen=True)
class Api:
    """The server as one person sees it."""

    http: TestClient[Any, Any]
    store: Store
    auth: Authenticator
    person: str = "alice"

    def act_as(self, person: str) -> Api:
        return Api(self.http, self.store, self.auth, person)

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> ClientResponse:
        sent = {
            "Authorization": f"Bearer {self.person}",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        return await self.http.request(method, path, json=body, headers=sent)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Obj:
        async with await self.send(method, path, body, **headers) as response:
            found: Obj = await response.json(content_type=None)
            return found

    async def get(self, path: str, **headers: str) -> Obj:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, body: Obj) -> Obj:
        return await self.ask("POST", path, body)

    async def refusal(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, str]:
        answer = await self.ask(method, path, body, **headers)
        assert answer["kind"] == "Status", answer
        return answer["code"], answer.get("reason", ""), answer["message"]


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    store = Store()
    install_bootstrap_policy(store)
    auth = Authenticator(store, signing_key=KEY)
    for person in ("alice", "bob"):
        auth.add_token(person, f"oidc-{person}")
        _namespace(store, f"user-{person}")
        store.create(
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "full_control_namespace", "namespace": f"user-{person}"},
                "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "admin"},
                "subjects": [{"apiGroup": GROUP, "kind": "User", "name": f"oidc-{person}"}],
            }
        )
    auth.add_token("admin", "kubernetes-admin", groups=("system:masters",))
    node: Any = None  # nothing here runs a pod
    async with TestClient(TestServer(build_app(store, node, auth))) as http:
        yield Api(http, store, auth)


def _namespace(store: Store, name: str) -> None:
    store.create(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
    )
    store.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    )


def pod(name: str = "web", **labels: str) -> Obj:
    """Return the smallest pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "nginx:1"}]},
    }
