"""The whole sandbox, put together: the store, the API server, the node, the controllers and the world.

Everything is one asyncio process. The store is the truth and lives in memory: each start begins with the same
world. What a home keeps is who people are: an authority, a seed for passwords and tokens, a port, so that a kubeconfig
stays good.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

from sspcloud_magics.sandbox import kubeconfigs, oidc, postgres
from sspcloud_magics.sandbox.api import build_app
from sspcloud_magics.sandbox.auth import Authenticator, Unauthenticated, install_bootstrap_policy
from sspcloud_magics.sandbox.auth.tokens import new_signing_key
from sspcloud_magics.sandbox.certificates import ClusterAuthority, write_private
from sspcloud_magics.sandbox.controllers import (
    cnpg,
    deployments,
    endpoints,
    garbage,
    jobs,
    namespaces,
    replicasets,
    statefulsets,
)
from sspcloud_magics.sandbox.controllers.loop import ControllerLoop
from sspcloud_magics.sandbox.controllers.objects import PODS, name_of, pod_ready
from sspcloud_magics.sandbox.controllers.volumes import Provisioner
from sspcloud_magics.sandbox.daemon import SandboxError
from sspcloud_magics.sandbox.kubeconfigs import Person
from sspcloud_magics.sandbox.listening import ApiServer, listening_sockets, serve
from sspcloud_magics.sandbox.network import Network
from sspcloud_magics.sandbox.node import Node
from sspcloud_magics.sandbox.oidc.app import REALM
from sspcloud_magics.sandbox.store import Change, Store
from sspcloud_magics.sandbox.world import beginning, people
from sspcloud_magics.sandbox.world.databases import DatabaseVolumes
from sspcloud_magics.sandbox.world.seed import Seed

ADMIN = "admin"
MASTERS = "system:masters"

_READY_SECONDS = 60.0
_CONTROLLERS = (
    cnpg.CONTROLLER,
    deployments.CONTROLLER,
    endpoints.CONTROLLER,
    garbage.CONTROLLER,
    jobs.CONTROLLER,
    replicasets.CONTROLLER,
    statefulsets.CONTROLLER,
)


class SandboxCluster:
    """One sandbox.

    Parameters
    ----------
    home
        Its directory, which no other process uses meanwhile.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = Store()
        self.url = ""
        self.issuer_url = ""
        self._api: ApiServer | None = None
        self._cleanup = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Start everything, and return when all pods of the world are ready.

        Raises
        ------
        SandboxError
            If they do not become ready.
        """
        authority = ClusterAuthority(self.home / "certificates")
        seed = Seed(self.home / "seed")
        auth = Authenticator(self.store, signing_key=_signing_key(self.home / "service-accounts.key"))
        install_bootstrap_policy(self.store)
        beginning.create(self.store, seed)
        postgres.sweep()
        volumes = postgres.volumes(self.home)
        self._cleanup.push_async_callback(asyncio.to_thread, postgres.forget, self.home)
        fill = DatabaseVolumes(self.store, postgres.templates(), beginning.plans(seed))
        provisioner = Provisioner(self.store, volumes, fill)
        loop = ControllerLoop(self.store, (*_CONTROLLERS, namespaces.controller(authority.pem)))
        node = Node(self.store, Network(self.store), self.home)
        self._cleanup.push_async_callback(node.stop)
        await node.start()
        self._cleanup.push_async_callback(provisioner.stop)
        await provisioner.start()
        self._cleanup.push_async_callback(loop.stop)
        await loop.start()
        context = authority.server_context()
        self._api = ApiServer(
            lambda rights_read: build_app(self.store, node, auth, rights_read), context, self.home / "port"
        )
        self._cleanup.push_async_callback(self._api.stop)
        await self._api.start()
        self.url = self._api.url
        await self._start_identity_provider(authority, auth, context)
        self._write_kubeconfigs(authority, seed, auth)
        await self._ready()

    async def stop(self) -> None:
        """Stop everything, the newest first; also after a start that failed."""
        await self._cleanup.aclose()

    async def restart_api_server(self) -> None:
        """Kill the API server and start it again; the pods run on."""
        if self._api is not None:
            await self._api.restart()

    async def _start_identity_provider(
        self, authority: ClusterAuthority, auth: Authenticator, context: ssl.SSLContext
    ) -> None:
        sockets = listening_sockets(self.home / "issuer-port")
        self.issuer_url = f"https://127.0.0.1:{sockets[0].getsockname()[1]}"
        issuer = oidc.Issuer(
            self.issuer_url + REALM,
            _signing_key(self.home / "issuer.key"),
            username_prefix=people.username_prefix(),
        )
        auth.trust_identity_provider(issuer.user_of_token)

        def who(token: str) -> str | None:
            with contextlib.suppress(Unauthenticated):
                return people.person_of(auth.user_of_token(token).name)
            return None

        app = oidc.build_app(issuer, who=who, server=lambda: self.url, ca=authority.pem)
        runner = await serve(app, context, sockets)
        self._cleanup.push_async_callback(runner.cleanup)

    def _write_kubeconfigs(self, authority: ClusterAuthority, seed: Seed, auth: Authenticator) -> None:
        everyone = [Person(ADMIN, "default", certificate=authority.client("kubernetes-admin", MASTERS))]
        for name in people.PEOPLE:
            token = seed.secret(f"token/{name}")
            auth.add_token(token, people.user_of(name))
            everyone.append(Person(name, people.namespace_of(name), token=token))
        for person in everyone:
            kubeconfigs.write(self.home, self.url, authority.pem, person)

    async def _ready(self) -> None:
        """Wait for every pod that is wanted: no controller has anything left to make, and all are ready."""
        ready = asyncio.Event()

        def look(change: Change | None = None) -> None:
            if change is None or change.resource == PODS:
                pods = self.store.peek_all(PODS)
                if len(pods) == beginning.PODS and all(pod_ready(pod) for pod in pods):
                    ready.set()

        unsubscribe = self.store.subscribe(look)
        look()
        try:
            await asyncio.wait_for(ready.wait(), _READY_SECONDS)
        except TimeoutError:
            late = [name_of(pod) for pod in self.store.peek_all(PODS) if not pod_ready(pod)]
            raise SandboxError(f"Not ready after {_READY_SECONDS:g} s: {', '.join(late)}") from None
        finally:
            unsubscribe()


def _signing_key(path: Path) -> bytes:
    if not path.exists():
        write_private(path, new_signing_key())
    return path.read_bytes()
