"""A separate sandbox, and the servers on which the attacks are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.adversary.stage import Stage, open_stage
from tests.support import postgres_servers
from tests.support.postgres_servers import Programs
from tests.testbed import Sandbox, open_sandbox


@dataclass(frozen=True)
class Kind:
    """A kind of server: its programs, whether PUBLIC may create in ``public``, and its extensions."""

    programs: Callable[[], Programs]
    everybody_creates: bool = False
    extensions: tuple[str, ...] = ()


KINDS = {
    "18": Kind(postgres_servers.of_the_wheel),
    "15": Kind(postgres_servers.of_debian, extensions=("hstore",)),
    "as before 15": Kind(postgres_servers.of_debian, everybody_creates=True, extensions=("hstore",)),
}


@pytest.fixture(scope="module")
def practice() -> Iterator[Sandbox]:
    """A sandbox that no other test uses."""
    with open_sandbox() as running:
        yield running


# Where everybody creates, that version has to bear more.
IN_TURN = ["18", pytest.param("15", marks=pytest.mark.wide), "as before 15"]


@pytest.fixture(scope="module", params=IN_TURN)
def stage(request: pytest.FixtureRequest, practice: Sandbox, tmp_path_factory) -> Iterator[Stage]:
    """A server of each kind, with alice's database on it."""
    kind = KINDS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("of alice"))  # what she exports goes there
        with open_stage(
            practice,
            kind.programs(),
            everybody_creates=kind.everybody_creates,
            extensions=kind.extensions,
        ) as ready:
            yield ready
