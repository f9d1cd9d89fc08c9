"""A notebook service on the sandbox: a service account's identity, and a pod's place in the network.

The identity is real: a service account of the namespace, bound to a role as Onyxia binds a notebook service, and a token
from the API server, in a directory laid out as Kubernetes mounts it. The product reads it as it does in a pod.

The network is a seam, since the tests run outside of the sandbox's pods, and as thin as it can be: a real pod in
the notebook's namespace relays to the service, so that the cluster's names and NetworkPolicies apply to its
connections and not to ours; cluster names resolve to a loopback address whose port leads into that pod. Only name
resolution is replaced. Where the machine allows it, `pod` does without the seam.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sspcloud_magics.cluster.cluster import Cluster, find_cluster
from sspcloud_magics.forwards.manager import ForwardManager
from sspcloud_magics.target import PortText, Target
from tests.support import kubectl as support
from tests.testbed import Sandbox

# The port is the service's; the address is this process's own, since others that run the same tests use that port, too.
ADDRESS = "127." + ".".join(str(secrets.randbelow(254) + 1) for _ in range(3))
PORT = 5432


def kubectl(sandbox: Sandbox, person: str, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl as a user, and return its output."""
    return support.kubectl(sandbox, person, *arguments, stdin=stdin).text


def apply(sandbox: Sandbox, *objects: dict[str, Any]) -> None:
    """Create objects as the administrator."""
    said = kubectl(sandbox, "admin", "apply", "-f", "-", stdin=yaml.safe_dump_all(objects))
    assert "rror" not in said, said


def identity(sandbox: Sandbox, namespace: str, role: str, mount: Path, **environ: str) -> Cluster:
    """Return the cluster as a notebook service with that role sees it.

    Parameters
    ----------
    sandbox
        Where.
    namespace
        The notebook's.
    role
        ``view``, ``edit`` or ``admin``, as chosen when the service is launched.
    mount
        A directory that stands for the one that Kubernetes mounts.
    environ
        What else the notebook's environment holds.
    """
    name = f"jupyter-python-{role}"
    account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    metadata = {"name": name, "namespace": namespace}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [account],
    }
    apply(sandbox, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, binding)
    mount.mkdir(exist_ok=True)
    (mount / "token").write_text(kubectl(sandbox, "admin", "create", "token", name, "-n", namespace))
    (mount / "namespace").write_text(namespace)
    entry = yaml.safe_load(sandbox.kubeconfig("bob").read_text())["clusters"][0]["cluster"]
    (mount / "ca.crt").write_bytes(base64.b64decode(entry["certificate-authority-data"]))
    host, _, port = entry["server"].removeprefix("https://").rpartition(":")
    environ |= {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    return find_cluster(mount=mount, environ=environ)


def forget(sandbox: Sandbox, namespace: str, role: str) -> None:
    """Remove the objects that `identity` has created."""
    name = f"jupyter-python-{role}"
    kubectl(sandbox, "admin", "delete", "-n", namespace, f"rolebinding/{name}", f"serviceaccount/{name}")


@contextlib.contextmanager
def place_in_network(sandbox: Sandbox, namespace: str, host: str) -> Iterator[None]:
    """Let a loopback address lead into a pod of a namespace, and from there to a service.

    Parameters
    ----------
    sandbox
        Where.
    namespace
        The notebook's.
    host
        The full name of the service, whose port is that of PostgreSQL.
    """
    container = {
        "name": "socat",
        "image": "alpine/socat",
        "args": [f"TCP-LISTEN:{PORT},fork,reuseaddr", f"TCP:{host}:{PORT}"],
        "ports": [{"containerPort": PORT}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "notebook", "namespace": namespace},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    apply(sandbox, pod)
    said = kubectl(
        sandbox, "admin", "wait", "--for=condition=Ready", "pod/notebook", "-n", namespace, "--timeout=60s"
    )
    assert "condition met" in said
    manager = ForwardManager()
    admin = find_cluster(kubeconfig=sandbox.kubeconfig("admin"))
    try:
        manager.forward(admin, Target(namespace, "pod", "notebook"), [PortText(PORT, PORT)], address=ADDRESS)
        yield
    finally:
        manager.close()
        admin.close()
        kubectl(sandbox, "admin", "delete", "pod", "notebook", "-n", namespace, "--wait=false")


@contextlib.contextmanager
def cluster_names(host: str) -> Iterator[None]:
    """Let the name of that service resolve, to the address that `place_in_network` has prepared."""
    real = socket.getaddrinfo

    def resolve(name: Any, *more: Any, **options: Any) -> Any:
        return real(ADDRESS if name == host else name, *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield


def isolate(sandbox: Sandbox, namespace: str, database: str) -> None:
    """Enable "only allow access from the same namespace" with a policy that selects the database's pods."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "same-namespace-only", "namespace": namespace},
        "spec": {
            "podSelector": {"matchLabels": {"cnpg.io/cluster": database}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {}}]}],
        },
    }
    apply(sandbox, policy)


def open_again(sandbox: Sandbox, namespace: str) -> None:
    """Disable it."""
    kubectl(sandbox, "admin", "delete", "networkpolicy", "same-namespace-only", "-n", namespace)
