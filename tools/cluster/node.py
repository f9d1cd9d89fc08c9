"""The processes of a single-node cluster, and the removal of their traces on the machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kubernetes import client, config

from tools.cluster.identities import ADDRESS, API, FRONT, Identities

PAUSE = "docker.io/cluster/pause:1"
_ETCD = "http://127.0.0.1:2379"
_PLUGINS = "/usr/lib/cni"
_BRIDGE = "cni0"
_PODS = "10.88.0.0/16"
_LONGEST = 120.0


class Node:
    """A running cluster.

    Parameters
    ----------
    folder
        The folder of its state and of its processes' logs.
    programs
        The folder of the four programs of Kubernetes.
    front
        The proxy in front of the API server.
    identities
        Its identities.
    """

    def __init__(self, folder: Path, programs: Path, front: Path, identities: Identities) -> None:
        self._folder = folder
        self._programs = programs
        self._front = front
        self._identities = identities
        # In the order of their start.
        self._processes: list[subprocess.Popen[bytes]] = []
        self._socket = folder / "containerd.sock"
        # The network namespaces that existed before.
        self._networks = _networks()
        # None until the API server answers.
        self._api: client.CoreV1Api | None = None

    def start(self, images: list[Path]) -> client.CoreV1Api:
        """Start all processes, and return a client with the administrator's identity once the node is ready."""
        _command("ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo")
        _command("mount", "--make-rshared", "/")
        self._start_control_plane()
        api = client.CoreV1Api(config.new_client_from_config(str(self._identities.admin)))
        self.wait_until("the API server", lambda: bool(api.list_namespace().items))
        self._api = api
        self._start_controllers()
        self._start_containerd(images)
        self._start_kubelet()
        self.wait_until("the node", lambda: any(is_ready(node) for node in api.list_node().items))
        return api

    def restart_api_server(self) -> None:
        """Kill the API server, and restart it a second later."""
        command = [str(each) for each in self._api_server.args]  # type: ignore[union-attr]
        self._api_server.kill()
        self._processes.remove(self._api_server)
        self._api_server.wait()
        time.sleep(1)
        self._api_server = self._start(*command)

    def _start(self, program: str | Path, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{Path(program).name}.log").open("ab") as log:
            started = subprocess.Popen(
                [str(program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(started)
        return started

    def wait_until(self, what: str, happened: Callable[[], bool]) -> None:
        """Wait until a condition holds.

        Raises
        ------
        TimeoutError
            If it does not hold in time.
        """
        end = time.monotonic() + _LONGEST
        why: object = "no error"
        while time.monotonic() < end:
            try:
                if happened():
                    return
            except Exception as error:  # noqa: BLE001 - any error may be temporary
                why = error
            time.sleep(0.25)
        raise TimeoutError(f"{what} is not ready after {_LONGEST:g} s ({why})")

    def _start_control_plane(self) -> None:
        peers = "http://127.0.0.1:2380"
        self._start(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls={peers}",
        )
        known = self._identities
        certificate, key = known.pair("apiserver")
        admin, admin_key = known.pair("admin")
        self._api_server = self._start(
            self._programs / "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            "--bind-address=127.0.0.1",
            f"--secure-port={API.rpartition(':')[2]}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            "--kubelet-preferred-address-types=InternalIP",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--client-ca-file={known.authority}",
            f"--token-auth-file={known.tokens}",
            f"--kubelet-certificate-authority={known.authority}",
            f"--kubelet-client-certificate={admin}",
            f"--kubelet-client-key={admin_key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={known.service_accounts}",
            f"--service-account-signing-key-file={known.service_accounts}",
        )

        self._start(
            self._front, FRONT.rpartition("/")[2], str(certificate), str(key), API, str(known.authority)
        )

    def _start_controllers(self) -> None:
        kubeconfig = f"--kubeconfig={self._identities.admin}"
        self._start(
            self._programs / "kube-controller-manager",
            kubeconfig,
            "--leader-elect=false",
            f"--root-ca-file={self._identities.authority}",
            f"--service-account-private-key-file={self._identities.service_accounts}",
        )
        self._start(self._programs / "kube-scheduler", kubeconfig, "--leader-elect=false")

    def _start_containerd(self, images: list[Path]) -> None:
        network = self._folder / "network"
        network.mkdir()
        addresses = {
            "type": "host-local",
            "dataDir": str(self._folder / "addresses"),
            "ranges": [[{"subnet": _PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": _BRIDGE, "isGateway": True, "ipam": addresses}
        described = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}
        (network / "pods.conflist").write_text(json.dumps(described))
        settings = self._folder / "containerd.toml"
        settings.write_text(
            "version = 2\n"
            f'root = "{self._folder}/containerd"\n'
            f'state = "{self._folder}/containerd-state"\n'
            "[grpc]\n"
            f'address = "{self._socket}"\n'
            '[plugins."io.containerd.grpc.v1.cri"]\n'
            f'sandbox_image = "{PAUSE}"\n'
            "disable_apparmor = true\n"
            # In some virtual machines, root may not lower a process's OOM score.
            "restrict_oom_score_adj = true\n"
            '[plugins."io.containerd.grpc.v1.cri".cni]\n'
            f'bin_dir = "{_PLUGINS}"\n'
            f'conf_dir = "{network}"\n'
        )
        self._start("containerd", f"--config={settings}")
        control = ("ctr", f"--address={self._socket}", "--namespace=k8s.io")
        self.wait_until(
            "containerd",
            lambda: subprocess.run([*control, "version"], capture_output=True, check=False).returncode == 0,
        )
        for image in images:
            _command(*control, "images", "import", str(image))

    def _start_kubelet(self) -> None:
        known = self._identities
        certificate, key = known.pair("kubelet")
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "x509": {"clientCAFile": str(known.authority)},
                "anonymous": {"enabled": False},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "enforceNodeAllocatable": [],
            "evictionHard": {"memory.available": "100Mi"},
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,
            "resolvConf": "",
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
        }
        file = self._folder / "kubelet.yaml"
        file.write_text(json.dumps(settings))
        self._start(
            self._programs / "kubelet",
            f"--config={file}",
            f"--kubeconfig={known.admin}",
            f"--root-dir={self._folder / 'kubelet'}",
            "--hostname-override=node",
            f"--node-ip={ADDRESS}",
            "--container-runtime=remote",
            f"--container-runtime-endpoint=unix://{self._socket}",
        )

    def stop(self) -> None:
        """Stop all processes and pods, and undo the changes to the machine."""
        if self._api is not None:
            self._delete_pods(self._api)
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
            process.kill()
        # containerd does not stop the shims of its containers.
        for pid in [*_shims(f"{self._socket}"), *_in_pods()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for mount in sorted(_mounts_below(self._folder), reverse=True):
            _command("umount", "--lazy", mount, check=False)
        for group in sorted(Path("/sys/fs/cgroup").glob("**/kubepods/**/"), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
        for network in _networks() - self._networks:
            _command("ip", "netns", "delete", network, check=False)
        _command("ip", "link", "delete", _BRIDGE, check=False)
        _command("ip", "address", "delete", f"{ADDRESS}/32", "dev", "lo", check=False)

    def _delete_pods(self, api: client.CoreV1Api) -> None:
        """Delete the pods, so that the kubelet stops them and removes their networks."""
        try:
            for pod in api.list_pod_for_all_namespaces().items:
                api.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace)
            self.wait_until("the end of the pods", lambda: not api.list_pod_for_all_namespaces().items)
        except Exception as error:  # noqa: BLE001 - the other changes must be undone all the same
            print(f"some pods are left: {error}", file=sys.stderr)


def _command(*command: str, check: bool = True) -> None:
    subprocess.run(command, check=check, capture_output=True, stdin=subprocess.DEVNULL)


def is_ready(found: client.V1Node | client.V1Pod) -> bool:
    """Return whether a node or a pod is ready."""
    return any(each.type == "Ready" and each.status == "True" for each in found.status.conditions or [])


def _shims(socket: str) -> Iterator[int]:
    """Yield the process IDs of containerd's shims."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if entry.name.isdecimal() and "containerd-shim" in words[0] and socket in words:
                yield int(entry.name)


def _in_pods() -> Iterator[int]:
    """Yield the process IDs in pods of this machine."""
    for file in Path("/sys/fs/cgroup").glob("memory/kubepods/**/cgroup.procs"):
        with contextlib.suppress(OSError):
            yield from map(int, file.read_text().split())


def _networks() -> set[str]:
    """Return the names of the network namespaces, of which containerd creates one per pod."""
    return {file.name for file in Path("/run/netns").glob("cni-*")}


def _mounts_below(folder: Path) -> list[str]:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [mount for mount in mounts if mount.startswith(f"{folder}/")]
