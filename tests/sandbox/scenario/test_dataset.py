"""The practice data is reproducible, consistent and plausible."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sspcloud_magics.sandbox.scenario import dataset

pytestmark = pytest.mark.slow

SAME_EVERYWHERE = "8ad9001c7e3bb7b265934ad400d1b226fe7dff883074d8558b6f8f821b8c64b5"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    dataset.write(directory)
    return directory


def rows(directory: Path, table: str) -> list[list[str]]:
    text = (directory / table).read_text("utf-8")
    return [line.split("\t") for line in text.removesuffix("\n").split("\n")]


def test_is_the_same_at_every_start(files: Path) -> None:
    digest = hashlib.sha256()
    for table in dataset.TABLES:
        digest.update((files / table).read_bytes())
    assert digest.hexdigest() == SAME_EVERYWHERE, "other data: raise databases.DATA_VERSION too"


def test_is_large_enough_and_says_so(files: Path) -> None:
    counts = {table: len(rows(files, table)) for table in dataset.TABLES}
    assert counts["regions"] == 13
    assert counts["departements"] == 96
    assert counts["communes"] == 96 * dataset.COMMUNES_PER_DEPARTMENT
    assert counts["menages"] == dataset.HOUSEHOLDS
    assert counts["individus"] > 100_000


@pytest.mark.parametrize(
    ("table", "column", "of", "key"),
    [
        ("departements", 2, "regions", 0),
        ("communes", 2, "departements", 0),
        ("menages", 1, "communes", 0),
        ("individus", 1, "menages", 0),
    ],
)
def test_every_reference_leads_somewhere(files: Path, table: str, column: int, of: str, key: int) -> None:
    assert {row[column] for row in rows(files, table)} <= {row[key] for row in rows(files, of)}


def test_a_household_has_as_many_people_as_it_says(files: Path) -> None:
    counted: dict[str, int] = {}
    for row in rows(files, "individus"):
        counted[row[1]] = counted.get(row[1], 0) + 1
    assert counted == {row[0]: int(row[3]) for row in rows(files, "menages")}


def test_the_usual_questions_have_the_usual_answers(files: Path) -> None:
    wages: dict[str, list[float]] = {}
    activities: dict[str, int] = {}
    for row in rows(files, "individus"):
        activities[row[6]] = activities.get(row[6], 0) + 1
        if row[8] != "\\N":
            wages.setdefault(row[5], []).append(float(row[8]))
    mean = {diploma: sum(values) / len(values) for diploma, values in wages.items()}
    assert mean["master et plus"] > 1.3 * mean["baccalauréat"] > mean["aucun"]
    unemployed = activities["au chômage"]
    assert 0.05 < unemployed / (unemployed + activities["en emploi"]) < 0.15


def test_interviews_follow_birth_and_moving_in(files: Path) -> None:
    interviews = {row[0]: row[2][:10] for row in rows(files, "menages")}
    for row in rows(files, "menages"):
        assert row[8] == "\\N" or row[8] < interviews[row[0]]
    for row in rows(files, "individus"):
        assert row[4] <= interviews[row[1]]
        assert row[11] == "\\N" or row[4] < row[11] < interviews[row[1]]
