"""The whole sandbox in one asyncio process: store, API server, node, controllers and scenario.

All objects live in the store, in memory, and `snapshot` saves them across restarts; `scenario` is therefore
created at the first start only. The home also holds the certificate authority, the seed of passwords and
tokens, keys, ports and the databases' volumes, so that credentials stay valid across restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sspcloud_magics.i18n import _, format_number
from sspcloud_magics.sandbox import kubeconfigs, postgres, snapshot
from sspcloud_magics.sandbox import resources as kinds
from sspcloud_magics.sandbox.api.app import build_app
from sspcloud_magics.sandbox.auth.authenticator import Authenticator, Unauthenticated
from sspcloud_magics.sandbox.auth.bootstrap import install_bootstrap_policy
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
from sspcloud_magics.sandbox.controllers.volumes import Provisioner
from sspcloud_magics.sandbox.daemon import SandboxError
from sspcloud_magics.sandbox.kubeconfigs import Person
from sspcloud_magics.sandbox.listening import ApiServer, open_sockets, serve
from sspcloud_magics.sandbox.network.routing import Network
from sspcloud_magics.sandbox.node.kubelet import Node
from sspcloud_magics.sandbox.objects import name_of
from sspcloud_magics.sandbox.oidc import app as provider
from sspcloud_magics.sandbox.oidc.issuer import Issuer
from sspcloud_magics.sandbox.pods import condition, is_terminating, pod_over, pod_ready
from sspcloud_magics.sandbox.scenario import beginning, people
from sspcloud_magics.sandbox.scenario.databases import DatabaseVolumes
from sspcloud_magics.sandbox.scenario.seed import Seed
from sspcloud_magics.sandbox.snapshot import Keeper
from sspcloud_magics.sandbox.store import Change, Obj, Store

ADMIN = "admin"
MASTERS = "system:masters"

log = logging.getLogger(__name__)

# Seconds that a start waits for its pods.
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

    `keep`: whether to start from the data in the home and to save it there; without it, only keys are kept.
    """

    def __init__(self, home: Path, *, keep: bool = True) -> None:
        self.home = home
        self._keep = keep
        self.store = Store()
        # Addresses of the API server and of the identity provider; empty until they listen.
        self.url = ""
        self.issuer_url = ""
        self._api: ApiServer | None = None
        # Writes the snapshot; None until a first start has finished, and without `keep`.
        self._keeper: Keeper | None = None
        # What `stop` does, in reverse order; `start` adds each step as soon as there is something to stop.
        self._cleanup = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Start everything, and return when the pods of the scenario, or those that were ready before, are ready.

        Raise `SandboxError` if the scenario's pods do not become ready, or the saved data cannot be used.
        """
        kept = snapshot.read(self.home) if self._keep else None
        authority = ClusterAuthority(self.home / "certificates")
        seed = Seed(self.home / "seed")
        auth = Authenticator(self.store, signing_key=_read_signing_key(self.home / "service-accounts.key"))
        postgres.sweep()
        if kept is None:
            await asyncio.to_thread(postgres.forget, self.home)
        volumes = postgres.volumes(self.home)
        if not self._keep:
            self._cleanup.push_async_callback(asyncio.to_thread, postgres.forget, self.home)
        was_ready = kept.restore(self.store, volumes) if kept else None
        install_bootstrap_policy(self.store)
        if kept is None:
            beginning.create(self.store, seed)
        fill = DatabaseVolumes(self.store, postgres.templates(), beginning.plans(seed))
        provisioner = Provisioner(self.store, volumes, fill)
        loop = ControllerLoop(self.store, (*_CONTROLLERS, namespaces.controller(authority.pem)))
        node = Node(self.store, Network(self.store), self.home)
        self._cleanup.push_async_callback(node.stop)
        await node.start()
        self._cleanup.callback(self._stop_keeping)
        self._cleanup.push_async_callback(provisioner.stop)
        await provisioner.start()
        self._cleanup.push_async_callback(loop.stop)
        await loop.start()
        await loop.settle()  # deletes the shares that have expired before a client can use them
        sockets = self._listen_for_logins()
        issuer = self._issuer(kept.logins if kept else {})
        if kept:
            self._keeper = Keeper(self.home, self.store, issuer.logins)  # before a client can change anything
        context = authority.server_context()
        self._api = ApiServer(
            lambda rbac_ready: build_app(self.store, node, auth, rbac_ready), context, self.home / "port"
        )
        self._cleanup.push_async_callback(self._api.stop)
        await self._api.start()
        self.url = self._api.url
        await self._start_identity_provider(authority, auth, context, issuer, sockets)
        self._write_kubeconfigs(authority, seed, auth)
        await self._ready(was_ready)
        if self._keep and self._keeper is None:
            self._keeper = Keeper(self.home, self.store, issuer.logins)

    async def stop(self) -> None:
        """Stop everything in reverse order; also after a start that failed."""
        await self._cleanup.aclose()

    async def restart_api_server(self) -> None:
        """Kill the API server and start it again; pods keep running."""
        if self._api is not None:
            await self._api.restart()

    def _stop_keeping(self) -> None:
        """Write the last snapshot: clients and controllers have stopped, and the pods still run."""
        if self._keeper is not None:
            self._keeper.stop()

    def _save_login(self) -> None:
        if self._keeper is not None:
            self._keeper.write_soon()

    def _listen_for_logins(self) -> list[socket.socket]:
        sockets = open_sockets(self.home / "issuer-port")
        for each in sockets:
            self._cleanup.callback(each.close)
        self.issuer_url = f"https://127.0.0.1:{sockets[0].getsockname()[1]}"
        return sockets

    def _issuer(self, logins: Mapping[str, Any]) -> Issuer:
        return Issuer(
            self.issuer_url + provider.REALM,
            _read_signing_key(self.home / "issuer.key"),
            username_prefix=people.username_prefix(),
            logins=logins,
            changed=self._save_login,
        )

    async def _start_identity_provider(
        self,
        authority: ClusterAuthority,
        auth: Authenticator,
        context: ssl.SSLContext,
        issuer: Issuer,
        sockets: list[socket.socket],
    ) -> None:
        auth.trust_identity_provider(issuer.user_of_token)

        def find_person(token: str) -> str | None:
            with contextlib.suppress(Unauthenticated):
                return people.person_of(auth.user_of_token(token).name)
            return None

        app = provider.build_app(issuer, find_person=find_person, server=lambda: self.url, ca=authority.pem)
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

    async def _ready(self, was_ready: frozenset[str] | None) -> None:
        """Wait for the pods.

        `was_ready`: the uids of the pods that were ready before a restart: each must be ready again or show
        what it waits for. None at the first start: all pods of the scenario must be ready.
        """
        ready = asyncio.Event()

        def list_late_pods() -> list[Obj]:
            pods = self.store.peek_all(kinds.PODS)
            if was_ready is not None:
                return [pod for pod in pods if pod["metadata"]["uid"] in was_ready and is_starting(pod)]
            return [pod for pod in pods if not pod_ready(pod)]

        def check(change: Change | None = None) -> None:
            if change is None or change.resource == kinds.PODS:
                created = was_ready is not None or len(self.store.peek_all(kinds.PODS)) >= beginning.PODS
                if created and not list_late_pods():
                    ready.set()

        unsubscribe = self.store.subscribe(check)
        check()
        try:
            await asyncio.wait_for(ready.wait(), _READY_SECONDS)
        except TimeoutError:
            late = ", ".join(map(name_of, list_late_pods()))
            if was_ready is None:
                raise SandboxError(
                    _("Not ready after {seconds} s: {pods}", seconds=format_number(_READY_SECONDS), pods=late)
                ) from None
            log.warning("Not ready after %g s: %s", _READY_SECONDS, late)
        finally:
            unsubscribe()


def is_starting(pod: Obj) -> bool:
    """Return whether a pod can be expected to become ready: it has not ended, and no container reports an error."""
    status = pod.get("status") or {}
    if pod_ready(pod) or pod_over(pod) or is_terminating(pod) or condition(pod, "PodScheduled") == "False":
        return False
    containers = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    reasons = {each["state"]["waiting"]["reason"] for each in containers if "waiting" in each["state"]}
    return reasons <= {"ContainerCreating", "PodInitializing"}


def _read_signing_key(path: Path) -> bytes:
    if not path.exists():
        write_private(path, new_signing_key())
    return path.read_bytes()
