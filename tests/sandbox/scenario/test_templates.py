"""Templates of databases are made once, also when many ask at the same time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sspcloud_magics.sandbox.scenario import databases

pytestmark = pytest.mark.slow


def test_concurrent_templates_are_all_whole(tmp_path: Path) -> None:
    def fill(place: Path) -> None:
        place.mkdir()
        for number in range(20):
            (place / str(number)).touch()

    def make(maker: int) -> list[Path]:
        return [databases._keep(tmp_path / f"{maker}-{number}", fill) for number in range(40)]

    with ThreadPoolExecutor(6) as pool:
        made = [place for places in pool.map(make, range(6)) for place in places]
    assert all(len(list(place.iterdir())) == 20 for place in made)
    assert not list(tmp_path.glob("making-*"))
