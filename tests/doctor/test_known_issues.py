"""Known issues on a real cluster: each is found, with a hint."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest
import trustme
import urllib3
import yaml

from sspcloud_magics import session
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Verdict
from sspcloud_magics.doctor.runner import examine
from sspcloud_magics.session import session as session_module
from tests.doctor.test_on_sandbox import DATABASE, Examine, apply_objects, doctor, find_one
from tests.sharing.on_the_sandbox import notebook
from tests.testbed import Sandbox

__all__ = ["doctor"]  # a fixture


@contextmanager
def proxy(server: str, authority: trustme.CA, ahead: timedelta) -> Iterator[str]:
    """Run a proxy that opens TLS, as those of some companies do: it passes requests on and knows no upgrades.

    Parameters
    ----------
    server
        The API server behind it.
    authority
        Whose certificate it shows.
    ahead
        By how much the server's clock shall seem to be ahead.
    """
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    behind = urllib3.PoolManager(cert_reqs="NONE")

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.connection = tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.close_connection = False

        def do_GET(self) -> None:
            if "Upgrade" in self.headers:
                self._answer(400, "text/html", b"<html>Bad request</html>")
                return
            if "watch=true" in self.path:
                self._answer(400, "text/html", b"<html>What does not end is not passed on</html>")
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {
                name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers
            }
            answer = behind.request(
                self.command, server + self.path, body=body, headers=headers, timeout=30, retries=False
            )
            self._answer(answer.status, answer.headers["Content-Type"], answer.data)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response_only(status)
            self.send_header("Date", format_datetime(datetime.now(UTC) + ahead, usegmt=True))
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def log_message(self, *_arguments: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    running.daemon_threads = False  # so that the end waits for what is asked
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
        behind.clear()


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_proxy_without_upgrades_and_clock_are_found(
    doctor: Examine, sandbox: Sandbox, tmp_path: Path
) -> None:
    document = yaml.safe_load(sandbox.kubeconfig("alice").read_text())
    (entry,) = document["clusters"]
    authority = trustme.CA()
    ca = base64.b64encode(authority.cert_pem.bytes()).decode()
    with proxy(entry["cluster"]["server"], authority, timedelta(hours=2)) as address:
        entry["cluster"] |= {"proxy-url": address, "certificate-authority-data": ca}
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(document))
        report = doctor("alice", "mon-api", file)
    assert any("by the proxy 127.0.0.1" in line for line in find_one(report, "Server").evidence)
    assert "behind the server's" in find_one(report, "Clock", Verdict.LOOK).what
    assert find_one(report, "Target").verdict is Verdict.FINE
    assert find_one(report, "Tunnel").verdict is Verdict.BROKEN
    assert "many proxies support only plain HTTP" in find_one(report, "Environment").what
    assert "NO_PROXY" in find_one(report, "Environment").hint


def test_service_has_link_and_old_kubeconfig_told(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "session", session_module.Session())
    stale = tmp_path / "in-cluster"
    stale.write_text(sandbox.kubeconfig("carol").read_text())
    cluster = notebook.identity(sandbox, "user-carol", "view", tmp_path / "mount", KUBECONFIG=str(stale))
    try:
        report = examine(DoctorContext(lambda: cluster, session_module.manager, None, None, {}))
    finally:
        cluster.close()
        session.close()
        notebook.forget(sandbox, "user-carol", "view")
    assert "kubernetes.role=%C2%ABadmin%C2%BB" in find_one(report, "Permissions", Verdict.BROKEN).hint
    kubeconfig = find_one(report, "Environment", Verdict.LOOK)
    assert "besides the mounted token" in kubeconfig.what
    assert kubeconfig.evidence == (str(stale),)
    assert any("ignored" in line for line in find_one(report, "Configuration").evidence)


def test_what_sleeps_is_told_with_who_wakes_it(doctor: Examine, sandbox: Sandbox) -> None:
    report = doctor("alice", "postgresql-cnpg-204871")
    asleep = find_one(report, "Target", Verdict.BROKEN)
    assert "hibernated" in asleep.what
    assert "my-services" in asleep.hint
    suspended = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "suspended"},
        "spec": {"selector": {"app": "suspended"}, "ports": [{"port": 80}]},
    }
    with apply_objects(sandbox, "carol", suspended):
        report = doctor("carol", "svc/suspended")
    assert "suspended has no pod" in find_one(report, "Pods", Verdict.BROKEN).hint
    assert "my-services" in find_one(report, "Pods").hint
    assert find_one(report, "Tunnel").verdict is Verdict.BROKEN


def test_missing_share_names_the_owner_to_ask(doctor: Examine) -> None:
    report = doctor("carol", f"user-alice/{DATABASE}")
    for step in ("Tunnel", "Database"):
        assert f"%share_db {DATABASE} --with carol" in find_one(report, step, Verdict.BROKEN).hint
    assert report.summary == "Broken: Tunnel, Database."
    clean = str(report.redact())
    assert "alice" not in clean
    assert "carol" not in clean
