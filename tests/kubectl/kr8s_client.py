"""The calls of kr8s that the tests need, in a separate process, since kr8s leaves sockets to the garbage collector."""

from __future__ import annotations

import socket
import sys
from typing import Any

import kr8s
from kr8s.objects import Pod, Service

from tests.support.ports import free_port

NAMESPACE = "user-bob"


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def lists(api: Any) -> None:
    found = list(api.get("pods", namespace=NAMESPACE, label_selector={"app": "echo"}))
    say([pod.name for pod in found], found[0].ready())
    try:
        list(api.get("pods", namespace="user-alice"))
    except kr8s.ServerError as error:
        say(error)


def watches(api: Any) -> None:
    for event, pod in api.watch("pods", namespace=NAMESPACE, field_selector={"metadata.name": "echo"}):
        say(event, pod.name)
        break


def makes(api: Any) -> None:
    container = {"name": "main", "image": "sspcloud-sandbox/helper", "args": ["echo", "9000"]}
    wanted = {"metadata": {"name": "by-kr8s", "namespace": NAMESPACE}, "spec": {"containers": [container]}}
    pod = Pod(wanted, api=api)
    pod.create()
    try:
        pod.wait("condition=Ready", timeout=60)
        pod.label({"touched": "yes"})
        say(dict(Pod.get("by-kr8s", namespace=NAMESPACE, api=api).labels))
    finally:
        pod.delete(grace_period=1)


def forwards(api: Any) -> None:
    for kind in (Pod, Service):
        target = kind.get("echo", namespace=NAMESPACE, api=api)
        with (
            # With `auto` it chooses a port before it binds it, and another process may take the port in between.
            target.portforward(remote_port=9000, local_port=free_port()) as port,
            socket.create_connection(("127.0.0.1", port), 10) as connection,
        ):
            connection.sendall(b"hello")
            say(kind.__name__, connection.recv(5).decode())


if __name__ == "__main__":
    globals()[sys.argv[1]](kr8s.api())
