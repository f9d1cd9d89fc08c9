"""Warnings about files that other users can write, with the command that corrects them."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sspcloud_magics.cluster.cluster import find_cluster
from sspcloud_magics.cluster.config import file_permissions
from sspcloud_magics.cluster.requests.permissions import who_am_i
from sspcloud_magics.doctor.cluster_checks import configuration
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Verdict
from tests.support.api_server import ApiServer

V1 = "client.authentication.k8s.io/v1"


@pytest.fixture(autouse=True)
def group_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group of the files is not private to their owner."""
    monkeypatch.setattr(grp, "getgrgid", lambda _gid: grp.struct_group(("users", "x", 100, [])))


@pytest.mark.parametrize(("mode", "told"), [(0o600, 0), (0o644, 0), (0o620, 1), (0o602, 1), (0o666, 1)])
def test_a_kubeconfig_is_told_by_its_mode(
    write_kubeconfig: Callable[..., Path], mode: int, told: int
) -> None:
    file = write_kubeconfig()
    file.chmod(mode)
    remarks = find_cluster(kubeconfig=file, environ={}).file_warnings
    assert len(remarks) == told
    for remark in remarks:
        assert str(file) in remark.what
        subprocess.run(remark.hint, shell=True, check=True)  # noqa: S602 - it is what the person is told to type
        assert find_cluster(kubeconfig=file, environ={}).file_warnings == ()


def test_a_plugin_and_a_directory_are_told(write_kubeconfig: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "open folder"
    folder.mkdir()
    program = folder / "login"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    user: dict[str, Any] = {"exec": {"apiVersion": V1, "command": str(program)}}
    file = write_kubeconfig(user=user)
    assert find_cluster(kubeconfig=file, environ={}).file_warnings == ()
    folder.chmod(0o777)
    (remark,) = find_cluster(kubeconfig=file, environ={}).file_warnings
    assert "login command" in remark.what
    assert remark.hint == f"chmod go-w '{folder}'"
    folder.chmod(0o1777)
    program.chmod(0o775)
    (remark,) = find_cluster(kubeconfig=file, environ={}).file_warnings
    assert remark.hint == f"chmod go-w '{program}'"


def test_the_doctor_and_whoami_tell_it(
    api: ApiServer, write_kubeconfig: Callable[..., Path], tmp_path: Path
) -> None:
    here = {"server": api.url, "certificate-authority": str(api.ca_file(tmp_path))}
    file = write_kubeconfig(cluster=here)
    file.chmod(0o666)
    api.answers["/apis/authentication.k8s.io/v1/selfsubjectreviews"] = {"status": {}}
    cluster = find_cluster(kubeconfig=file, environ={})
    warning = who_am_i(cluster).warning
    assert f"Other users can write the kubeconfig {file}" in warning
    assert f"chmod go-w {file}" in warning
    context = DoctorContext(lambda: cluster, lambda: None, None, None, {})  # type: ignore[arg-type,return-value]  # no forward
    (finding,) = configuration(context)
    assert finding.verdict is Verdict.LOOK
    assert finding.hint == f"chmod go-w {file}"
    cluster.close()


def test_a_token_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t")
    file.chmod(0o666)
    (remark,) = find_cluster(server="https://x", token_file=file, environ={}).file_warnings
    assert "token file" in remark.what


def test_a_group_of_ones_own_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    file.touch()
    file.chmod(0o660)
    me = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(grp, "getgrgid", lambda _gid: grp.struct_group((me, "x", 1000, [me])))
    assert file_permissions.find_warnings([("kubeconfig", file)]) == ()
    monkeypatch.setattr(grp, "getgrgid", lambda _gid: grp.struct_group((me, "x", 1000, [me, "eve"])))
    assert len(file_permissions.find_warnings([("kubeconfig", file)])) == 1


def test_a_file_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    assert file_permissions.find_warnings([("kubeconfig", tmp_path / "none")]) == ()
