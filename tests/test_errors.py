"""Errors say what happened, why and what to do next, and cross the helper's pipe unchanged."""

import errno
import inspect
import os
import re
import ssl
from email.message import Message
from pathlib import Path

import pytest

from sspcloud_magics import error_docs, errors
from sspcloud_magics.errors import Forbidden, PortTaken, SspcloudError, from_wire
from sspcloud_magics.i18n.system_reasons import system_reason

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SspcloudError)]


def test_the_text_has_what_why_and_one_arrow_a_step():
    error = Forbidden("You may not.", why="A right is missing.", hint="ask alice\nor log in again")
    assert str(error) == "You may not.\nA right is missing.\n→ ask alice\n→ or log in again"


def test_parts_that_are_missing_leave_no_empty_line():
    assert str(SspcloudError("It broke.")) == "It broke."


def test_ipython_shows_the_name_and_the_text_only():
    assert PortTaken("Taken.", hint="choose another")._render_traceback_() == [
        "PortTaken: Taken.\n→ choose another"
    ]


@pytest.fixture
def installed(monkeypatch):
    """Give a function that says how the package was installed, as its metadata would."""

    class Package:
        def __init__(self, urls: list[str], direct_url: str | None) -> None:
            self.metadata = Message()
            for url in urls:
                self.metadata["Project-URL"] = url
            self._direct_url = direct_url

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return self._direct_url

    def say(urls: list[str], direct_url: str | None) -> None:
        monkeypatch.setattr(error_docs, "distribution", lambda _name: Package(urls, direct_url))

    return say


FROM_GIT = (
    '{"url": "https://git.example/insee/magics.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}'
)


def test_message_ends_with_its_explanations_address(installed):
    installed(["Homepage, https://x.example", "Documentation, https://docs.example/ssp/"], FROM_GIT)
    assert PortTaken("Taken.", hint="choose another")._render_traceback_() == [
        "PortTaken: Taken.\n→ choose another\n→ more: https://docs.example/ssp/generated/errors.html#porttaken"
    ]


@pytest.mark.usefixtures("french")
def test_french_error_leads_to_the_french_page(installed):
    installed(["Documentation, https://docs.example/ssp/"], FROM_GIT)
    (shown,) = PortTaken("Pris.")._render_traceback_()
    address = "https://docs.example/ssp/fr/generated/errors.html#porttaken"
    assert shown == f"PortTaken: Pris.\n→ en savoir plus\N{NO-BREAK SPACE}: {address}"


@pytest.mark.parametrize(
    ("error", "english"),
    [
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), "No such file or directory."),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "Connection refused."),
        (ssl.SSLError(1, "wrong version number"), "wrong version number."),
        (PermissionError(0, "It belongs to another user"), "It belongs to another user."),
        (OSError("no number"), "no number."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_system_reason_is_that_of_the_system(error, english):
    assert system_reason(error) == english


@pytest.mark.usefixtures("french")
def test_system_reason_is_translated():
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    assert system_reason(error) == "Accès refusé."
    loop = OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    assert system_reason(loop) == f"«\N{NO-BREAK SPACE}{os.strerror(errno.ELOOP)}\N{NO-BREAK SPACE}»."


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_repository_install_links_to_the_source(installed, kind):
    installed([], FROM_GIT)
    page, _, line = error_docs.address_of(kind).partition("#L")
    assert page == "https://git.example/insee/magics/blob/abc123/sspcloud_magics/errors.py"
    assert (
        Path(errors.__file__)
        .read_text("utf-8")
        .splitlines()[int(line) - 1]
        .startswith(f"class {kind.__name__}(")
    )


@pytest.mark.parametrize(
    "direct_url",
    [
        None,
        '{"url": "file:///home/ana/magics", "dir_info": {"editable": true}}',
        '{"url": "ssh://git@git.example/x", "vcs_info": {"commit_id": "abc"}}',
        "no json",
    ],
)
def test_where_no_address_is_known_none_is_shown(installed, direct_url):
    installed([], direct_url)
    assert PortTaken("Taken.")._render_traceback_() == ["PortTaken: Taken."]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_crosses_the_pipe(kind):
    sent = kind("what", why="why", hint="mend")
    received = from_wire(sent.to_wire())
    assert type(received) is kind
    assert str(received) == str(sent)


def test_an_unknown_code_is_still_an_error():
    assert type(from_wire({"code": "Exception", "what": "x"})) is SspcloudError


def test_the_drawn_tree_is_the_real_one():
    drawn = set(re.findall(r"[├└│─ ]*([A-Z]\w+)(?: {2,}|$)", errors.__doc__, re.MULTILINE))
    assert drawn == {kind.__name__ for kind in KINDS}
