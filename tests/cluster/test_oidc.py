"""A provider that is down, is another service, or refuses: the errors, and that no token is sent elsewhere."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest
import trustme

from sspcloud_magics import errors
from sspcloud_magics.cluster.auth import oidc
from sspcloud_magics.cluster.platform import copy_script_again
from sspcloud_magics.secret import Secret
from tests.cluster.tokens import token

CANARY = "CANARY-refresh-token"


@dataclass
class Provider:
    """What it answers, and what it was asked."""

    url: str = ""
    ca: str = ""
    discovery: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    clock: float = 0.0
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    def says(self, **document: Any) -> None:
        self.discovery = _json(200, {"issuer": self.url, "token_endpoint": f"{self.url}/token", **document})

    def gives(self, status: int = 200, **document: Any) -> None:
        self.answer = _json(status, document)

    def settings(self, **changed: str) -> dict[str, str]:
        settings = {
            "idp-issuer-url": self.url,
            "client-id": "k8s",
            "refresh-token": CANARY,
            "id-token": token(sub="bob"),
            "idp-certificate-authority-data": base64.b64encode(self.ca.encode()).decode(),
        }
        return settings | {key.replace("_", "-"): value for key, value in changed.items()}


def _json(status: int, document: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


@pytest.fixture
def provider(authority: trustme.CA) -> Iterator[Provider]:
    found = Provider(ca=authority.cert_pem.bytes().decode())

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.asked.append((self.path, body))
            status, headers, content = (
                found.discovery if self.path.endswith("openid-configuration") else found.answer
            )
            self.send_response_only(status)
            self.send_header("Date", formatdate(time.time() + found.clock, usegmt=True))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _reply  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    context = SSLContext(PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"https://localhost:{server.server_port}"
    found.says()
    found.gives(id_token=token(iss=found.url, aud=["k8s"], sub="bob", exp=2e9))
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def test_refresh_token_buys_a_token_and_is_kept(provider: Provider) -> None:
    tokens = oidc.refresh(provider.settings())
    assert tokens.refresh_token == Secret(CANARY)
    path, body = provider.asked[-1]
    assert path == "/token"
    assert body.decode() == f"grant_type=refresh_token&refresh_token={CANARY}&client_id=k8s"


def test_rotated_refresh_token_and_secret_are_used(provider: Provider) -> None:
    provider.gives(id_token=token(iss=provider.url, aud="k8s", sub="bob"), refresh_token="next")
    assert oidc.refresh(provider.settings(client_secret="s")).refresh_token == Secret("next")
    assert provider.asked[-1][1].endswith(b"&client_secret=s")


@pytest.mark.parametrize(
    ("status", "answer", "what", "why"),
    [
        (400, {"error": "invalid_grant"}, "login has ended", "revoked"),
        (400, {"error": "invalid_dpop_proof"}, "bound to the program", "invalid_dpop_proof"),
        (400, {"error": "invalid_request", "error_description": "DPoP proof is missing"}, "bound", "DPoP"),
        (401, {"error": "invalid_client"}, "does not renew", "invalid_client"),
        (403, {}, "does not renew", "403"),
    ],
)
def test_a_refusal_says_to_copy_the_script_again(
    provider: Provider, status: int, answer: dict[str, str], what: str, why: str
) -> None:
    provider.gives(status, **answer)
    with pytest.raises(errors.TokenExpired, match=what) as refused:
        oidc.refresh(provider.settings())
    assert why in refused.value.why
    assert "copy the script again" in refused.value.hint
    assert copy_script_again() in refused.value.hint


def test_ended_login_tells_of_a_clock_two_hours_off(provider: Provider) -> None:
    provider.clock = -7200
    provider.gives(400, error="invalid_grant", error_description="Token is not active")
    ended = token(exp=int(time.time()) - 3600, iat=1)
    with pytest.raises(errors.TokenExpired) as refused:
        oidc.refresh(provider.settings(refresh_token=ended))
    assert "The token expired 1 hour ago" in refused.value.why
    assert "clock is 2 hours ahead of the server's" in refused.value.why


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"iss": "https://evil.example"}, "another identity provider"),
        ({"iss": "https://evil.example:8443/realms/other"}, "evil.example:8443/realms/other;"),
        ({"aud": "nextcloud"}, "audience"),
        ({"aud": []}, "audience"),
        ({"sub": "alice"}, "another user"),
    ],
)
def test_a_token_of_another_user_is_not_used(provider: Provider, changed: dict[str, Any], words: str) -> None:
    provider.gives(id_token=token(**{"iss": provider.url, "aud": "k8s", "sub": "bob", **changed}))
    with pytest.raises(errors.ServerError, match=words):
        oidc.refresh(provider.settings())


@pytest.mark.parametrize(
    ("discovery", "words"),
    [
        ((200, {"Content-Type": "text/html"}, b"<html>login"), "text/html"),
        ((302, {"Location": "https://evil.example/"}, b""), "redirects to evil.example"),
        ((404, {"Content-Type": "text/html"}, b"not found"), "404"),
        ((500, {}, b""), "500"),
        ((200, {}, b"[" * 100_000), "more than 100 levels"),
        (_json(200, {"issuer": "https://evil.example", "token_endpoint": "https://evil.example/t"}), "evil"),
        (_json(200, {"token_endpoint": "http://localhost/t"}), "200"),
    ],
    ids=["html", "redirect", "missing", "broken", "deep", "another issuer", "not encrypted"],
)
def test_server_that_is_no_provider_gets_no_token(
    provider: Provider, discovery: tuple[int, dict[str, str], bytes], words: str
) -> None:
    provider.discovery = discovery
    with pytest.raises(errors.ServerError, match="identity provider") as refused:
        oidc.refresh(provider.settings())
    assert words in refused.value.why
    assert [path for path, _ in provider.asked] == ["/.well-known/openid-configuration"]


def test_token_endpoints_redirect_is_not_followed(provider: Provider) -> None:
    provider.answer = (307, {"Location": f"{provider.url}/elsewhere"}, b"")
    with pytest.raises(errors.ServerError, match="identity provider"):
        oidc.refresh(provider.settings())
    assert "/elsewhere" not in [path for path, _ in provider.asked]


def test_unreachable_or_untrusted_provider_is_told(provider: Provider) -> None:
    with pytest.raises(errors.ServerUnreachable, match="cannot renew it"):
        oidc.refresh(provider.settings(idp_issuer_url="https://127.0.0.1:1"))
    with pytest.raises(errors.CertificateNotTrusted):
        oidc.refresh(provider.settings(idp_certificate_authority_data=""))


def test_a_provider_without_tls_is_never_asked() -> None:
    with pytest.raises(errors.KubeconfigInvalid, match="https://"):
        oidc.refresh({"idp-issuer-url": "http://issuer", "client-id": "k8s", "refresh-token": CANARY})


def test_no_answer_makes_the_token_appear_in_an_error(provider: Provider) -> None:
    provider.gives(400, error="invalid_grant", error_description=f"Session of {CANARY} not active")
    with pytest.raises(errors.TokenExpired) as refused:
        oidc.refresh(provider.settings())
    assert CANARY not in str(refused.value)
    assert CANARY not in repr(oidc.Tokens(Secret(CANARY), Secret(CANARY)))
