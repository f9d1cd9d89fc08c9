"""The end of a kernel, whatever causes it, ends its helper and frees its ports."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.forwards.stage import await_end

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def kernel(what: str):
    with subprocess.Popen(
        [sys.executable, "-m", "tests.forwards.kernel", what],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_report(process) -> dict:
    return json.loads(process.stdout.readline())


def helper_is_gone(facts: dict) -> bool:
    await_end(facts["helper"])
    with socket.create_server(("127.0.0.1", facts["port"])):
        return True


def test_end_of_the_program_ends_the_helper():
    with kernel("wait") as process:
        facts = next_report(process)
        process.stdin.close()
        assert process.wait(10) == 0
        assert not psutil.pid_exists(facts["helper"])
        assert helper_is_gone(facts)


def test_exception_ending_the_program_ends_the_helper():
    with kernel("raise") as process:
        facts = next_report(process)
        assert process.wait(10) == 1
        assert helper_is_gone(facts)


def test_killed_kernel_leaves_no_helper():
    with kernel("wait") as process:
        facts = next_report(process)
        process.kill()
        assert helper_is_gone(facts)


def test_killed_kernel_with_a_worker_leaves_no_helper():
    with kernel("worker") as process:
        facts = next_report(process)
        worker = psutil.Process(facts["worker"])
        try:
            process.kill()
            assert helper_is_gone(facts)
            assert worker.is_running()
        finally:
            worker.kill()


def test_interrupt_of_the_group_leaves_the_forward():
    with kernel("wait") as process:
        facts = next_report(process)
        assert os.getsid(facts["helper"]) != os.getsid(process.pid)


def test_forked_child_leaves_its_parents_forwards():
    with kernel("child") as process:
        child = next_report(process)
        parent = next_report(process)
    assert child == {"seen": [], "answer": "child", "parents": "parent"}
    assert parent["state"] == "active"
    assert parent["answer"] == "still"


@pytest.fixture(autouse=True)
def _posix():
    if sys.platform == "win32":
        pytest.skip("signals and forks are POSIX's")
