"""kubectl's everyday on a real cluster: apply in both directions, tables, logs, deletion, and the official client."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.errors import ServerError, TargetNotFound
from tests.support.kubectl import KUBECTL
from tests.testbed import Testbed

SETTINGS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "sspcloud-magics-settings"},
    "data": {"colour": "blue", "size": "3"},
}
NAME = SETTINGS["metadata"]["name"]
TEXT = yaml.safe_dump(SETTINGS)


@pytest.fixture
def kubectl(testbed: Testbed, tmp_path: Path) -> Any:
    def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(KUBECTL), f"--kubeconfig={testbed.kubeconfig}", f"--namespace={testbed.namespace}"]
        command += [f"--context={testbed.context}"] if testbed.context else []
        environment = os.environ | {"HOME": str(tmp_path)}
        return subprocess.run(
            [*command, *words], input=stdin, capture_output=True, text=True, env=environment, check=False
        )

    return run


@pytest.fixture(autouse=True)
def here(testbed: Testbed) -> Iterator[None]:
    """A session on the cluster; afterwards, the object of these tests is gone."""
    ssp.login(kubeconfig=testbed.kubeconfig, context=testbed.context, namespace=testbed.namespace)
    yield
    try:
        ssp.delete("configmap", NAME)
    except TargetNotFound:
        pass
    finally:
        session.close()


def test_kubectl_finds_nothing_to_change(kubectl: Any) -> None:
    assert str(ssp.apply(TEXT)) == f"configmap/{NAME} created"
    for words in (["--server-side"], []):
        said = kubectl("diff", *words, "-f", "-", stdin=TEXT)
        assert (said.stdout, said.returncode) == ("", 0), said.stderr


@pytest.mark.parametrize("words", [["--server-side"], []], ids=["server", "client"])
def test_cell_takes_over_what_kubectl_applied(kubectl: Any, words: list[str]) -> None:
    assert kubectl("apply", *words, "-f", "-", stdin=TEXT).returncode == 0
    assert str(ssp.apply(TEXT)) == f"configmap/{NAME} unchanged"
    later = {**SETTINGS, "data": {"colour": "green"}}
    assert str(ssp.apply(later)) == f"configmap/{NAME} configured"
    found = ssp.kubernetes().dynamic().resources.get(api_version="v1", kind="ConfigMap")
    assert found.get(name=NAME, namespace=session.current_cluster().namespace).data.to_dict() == {
        "colour": "green"
    }
    assert kubectl("diff", *words, "-f", "-", stdin=yaml.safe_dump(later)).returncode == 0


def test_unknown_field_is_refused_with_its_line() -> None:
    with pytest.raises(ServerError, match="line 8") as raised:
        ssp.apply(f"{TEXT}colour: blue\n")
    assert "colour" in raised.value.why


def test_table_is_that_of_kubectl(testbed: Testbed, kubectl: Any) -> None:
    said = kubectl("get", "pods").stdout.splitlines()
    assert repr(ssp.get("pods")).splitlines()[0].split() == said[0].split()
    assert list(ssp.get("pods")["name"]) == [line.split()[0] for line in said[1:]]
    described = ssp.describe("pod", testbed.echo.pod)
    assert {"Ready", "PodScheduled"} <= set(described.conditions["type"])


def test_log_and_official_client(testbed: Testbed, kubectl: Any) -> None:
    core = client.CoreV1Api(ssp.kubernetes())
    names = [pod.metadata.name for pod in core.list_namespaced_pod(testbed.namespace).items]
    assert testbed.echo.pod in names
    last = kubectl("logs", testbed.echo.pod, "--tail=1").stdout
    assert ssp.logs(testbed.echo.pod, tail=1) == last.rstrip("\n")
