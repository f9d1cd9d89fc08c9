"""The practice data: a synthetic survey of households, the same in every sandbox.

Regions and departments are real; communes, households and persons are drawn at random with a fixed seed. Common
analyses give plausible results: wages grow with diploma and age and differ by sex and region, young people are
unemployed more often, and some answers are missing.

========== ======= ==========================================================
table      rows    a row is
========== ======= ==========================================================
regions         13 a region of metropolitan France
departements    96 a department
communes       768 an invented commune
menages     47,000 a household that was surveyed: dwelling, income, weight
individus  > 100 k a person of such a household: birth, diploma, work, wage
========== ======= ==========================================================
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from string import Template

from sspcloud_magics.sandbox.scenario import survey

SEED = 951239
HOUSEHOLDS = 47_000
COMMUNES_PER_DEPARTMENT = 8

_BEGINNINGS = (
    "Saint-Aubin|Sainte-Cécile|Villeneuve|Châteauneuf|Beaulieu|Montreuil|Fontenay|Bréhémont|Mézières|Noyers"
)
_ENDINGS = (
    "sur-Vesle|en-Forêt|le-Château|les-Bains|la-Rivière|sous-Bois|aux-Chênes|lès-Prés|du-Désert|sur-Mer"
)

TABLES = ("regions", "departements", "communes", "menages", "individus")

_FOLDER = Path(__file__).parent


def statements(directory: Path) -> list[str]:
    """Return the SQL that creates the tables and fills them from the files of `write`."""
    text = (_FOLDER / "survey.sql").read_text(encoding="utf-8").strip()
    return Template(text).substitute(directory=directory).split(";\n")


def write(directory: Path) -> None:
    """Write each table as a file for COPY, in text format."""
    draw = random.Random(SEED)  # noqa: S311 - invented people, not keys
    files = {table: (directory / table).open("w", encoding="utf-8", newline="\n") for table in TABLES}
    try:
        codes, shares = [], []
        # A line: code and name of a region, its wages relative to the mean, its departments.
        for line in (_FOLDER / "regions.tsv").read_text(encoding="utf-8").splitlines():
            region, name, level, departments = line.split("\t")
            files["regions"].write(f"{region}\t{name}\n")
            for department in departments.split("|"):
                code, _, title = department.partition(" ")
                files["departements"].write(f"{code}\t{title}\t{region}\n")
                for commune, row in _communes(draw, code):
                    files["communes"].write(row)
                    codes.append(commune)
                    shares.append(float(level))
        for number in range(1, HOUSEHOLDS + 1):
            place = int(len(codes) * draw.random())
            household, members = survey.household(draw, number, codes[place], shares[place])
            files["menages"].write(household)
            files["individus"].writelines(members)
    finally:
        for file in files.values():
            file.close()


def _communes(draw: random.Random, department: str) -> Iterator[tuple[str, str]]:
    names = draw.sample(
        [f"{a}-{b}" for a in _BEGINNINGS.split("|") for b in _ENDINGS.split("|")], COMMUNES_PER_DEPARTMENT
    )
    for number, name in enumerate(names):
        code = f"{department}{7 + 23 * number:03d}"
        people = int(180 * 2.1 ** draw.uniform(0, 10))
        area = 2 + 60 * draw.random() ** 2
        coast = "t" if name.endswith("sur-Mer") else "f"
        place = f"{draw.uniform(42.4, 50.9):.5f}\t{draw.uniform(-4.6, 8.1):.5f}"
        yield code, f"{code}\t{name}\t{department}\t{people}\t{area:.2f}\t{coast}\t{place}\n"
