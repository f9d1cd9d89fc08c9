"""Random households of the practice survey, with their dwelling, income and people.

Lines are in the text format of PostgreSQL's COPY. The order of the draws determines the data.
"""

from __future__ import annotations

import datetime as dt
from random import Random

# First day of the interviews. Ages refer to it, and reported events are before it.
_FIRST_DAY = dt.date(2024, 1, 8)
_NULL = "\\N"

_DIPLOMAS = ("aucun", "brevet", "CAP-BEP", "baccalauréat", "bac+2", "licence", "master et plus")
# Cumulative shares of the diplomas, for those born before and after 1970.
_OLD = (0.22, 0.32, 0.58, 0.72, 0.83, 0.90, 1.0)
_YOUNG = (0.08, 0.14, 0.34, 0.54, 0.68, 0.81, 1.0)
_TRADES = (
    "agriculteurs exploitants",
    "artisans, commerçants et chefs d'entreprise",
    "cadres et professions intellectuelles supérieures",
    "professions intermédiaires",
    "employés",
    "ouvriers",
)
# Cumulative shares of the trades for no diploma or little, something, much.
_TRADES_BY_DIPLOMA = (
    (0.03, 0.09, 0.10, 0.20, 0.58, 1.0),
    (0.02, 0.09, 0.18, 0.46, 0.83, 1.0),
    (0.01, 0.06, 0.57, 0.88, 0.98, 1.0),
)
_WAGES = (1450.0, 1900.0, 3150.0, 2250.0, 1620.0, 1700.0)
_OCCUPATIONS = ("propriétaire", "locataire HLM", "locataire privé", "logé gratuitement")
_OCCUPATION_SHARES = (0.57, 0.74, 0.975, 1.0)
_REMARKS = (
    "réponse donnée par un proche",
    "enquêté·e pressé·e",
    "à recontacter après 18 h",
    "revenu « à la louche »",
    "porte close la première fois",
    "déménagement prévu à l'été",
)
_SIZES = (0.37, 0.70, 0.83, 0.94, 0.985, 1.0)


def household(draw: Random, number: int, commune: str, level: float) -> tuple[str, list[str]]:
    """Return the line of a household, and those of its people.

    `number`: the household's ID; its people have ``10 * number + rank``. `level`: wages relative to the mean.
    """
    size = 1 + _pick(draw, _SIZES)
    head = 20 + int(68 * draw.random() ** 1.15)
    people, wages = [], 0.0
    for rank in range(1, size + 1):
        if rank == 1:
            age = head
        elif rank == 2 and draw.random() < 0.8:
            age = max(18, head + int(draw.gauss(-1, 4)))
        else:
            age = max(0, head - 22 - int(18 * draw.random()))
        line, wage = _person(draw, number, rank, age, level)
        people.append(line)
        wages += wage
    occupation = _pick(draw, _OCCUPATION_SHARES)
    surface = int(22 + 17 * size + 40 * draw.random() + (20 if occupation == 0 else 0))
    rent = _NULL
    if occupation in (1, 2):
        rent = f"{surface * level**3 * (6.1 if occupation == 1 else 9.8) * draw.uniform(0.8, 1.25):.2f}"
    income = 12 * wages + 5_200 * size * draw.uniform(0.6, 1.5) + (16_000 if head >= 64 else 0)
    minutes = int(342 * draw.random()) * 1440 + 540 + int(660 * draw.random())
    day, minute = divmod(minutes, 1440)
    moved = _FIRST_DAY - dt.timedelta(days=int(14_000 * draw.random() ** 2) + 20)
    remark = _REMARKS[int(len(_REMARKS) * draw.random())] if draw.random() < 0.04 else _NULL
    fields = (
        str(number),
        commune,
        f"{_FIRST_DAY + dt.timedelta(days=day)} {minute // 60:02d}:{minute % 60:02d}:00+01",
        str(size),
        _NULL if draw.random() < 0.02 else _OCCUPATIONS[occupation],
        _NULL if draw.random() < 0.03 else str(surface),
        rent,
        _NULL if draw.random() < 0.06 else f"{income:.2f}",
        _NULL if draw.random() < 0.05 else str(moved),
        str(min(int(2.6 * draw.random() * (0.6 + 0.25 * size)), 3)),
        repr(round(420 + 380 * draw.random() + 60 * draw.gauss(0, 1), 4)),
        remark,
    )
    return "\t".join(fields) + "\n", people


def _person(draw: Random, number: int, rank: int, age: int, level: float) -> tuple[str, float]:
    """Return the line of a person, and the monthly wage."""
    woman = draw.random() < 0.515
    born = _FIRST_DAY - dt.timedelta(days=int(365.25 * (age + draw.random())))
    diploma = _NULL
    step = 0
    if age >= 15:
        step = min(_pick(draw, _YOUNG if age < 54 else _OLD), max(0, age - 15))
        diploma = _NULL if draw.random() < 0.015 else _DIPLOMAS[step]
    activity = _activity(draw, age, step)
    rest = [_NULL] * 5
    wage = 0.0
    if activity == "en emploi":
        trade = _pick(draw, _TRADES_BY_DIPLOMA[0 if step < 3 else 1 if step < 5 else 2])
        part_time = draw.random() < (0.27 if woman else 0.08)
        hours = draw.gauss(24, 5) if part_time else draw.gauss(38.5, 3.5)
        hours = min(max(hours, 4.0), 70.0)
        if trade > 1:
            experience = min(max(age - 18 - step, 0), 40)
            wage = _WAGES[trade] * level * (0.82 + 0.011 * experience) * (0.93 if woman else 1.04)
            wage *= hours / 37.5 * 2.718281828 ** draw.gauss(0, 0.22)
        answered = wage > 0 and draw.random() > 0.08
        since = 1 + int(max(age - 17, 0.25) * 365.25 * draw.random() ** 1.6)
        rest = [
            _TRADES[trade],
            f"{wage:.2f}" if answered else _NULL,
            f"{hours:.1f}",
            _NULL
            if draw.random() < 0.1
            else ("t" if draw.random() < (0.62 if trade == 2 else 0.14) else "f"),
            _NULL if draw.random() < 0.04 else str(_FIRST_DAY - dt.timedelta(days=since)),
        ]
    fields = (
        str(10 * number + rank),
        str(number),
        str(rank),
        "F" if woman else "H",
        str(born),
        diploma,
        activity,
    )
    return "\t".join((*fields, *rest)) + "\n", wage


def _activity(draw: Random, age: int, step: int) -> str:
    chance = draw.random()
    if age < 15:
        return "moins de 15 ans"
    if age < 25 and chance < (25 - age) / 11:
        return "en études"
    if age >= 64 or (age >= 60 and chance < 0.55):
        return "en emploi" if age < 75 and chance > 0.95 else "à la retraite"
    unemployed = (0.17 if age < 27 else 0.085) * (1.5 if step < 2 else 0.6 if step > 4 else 1.0)
    chance = draw.random()
    if chance < unemployed:
        return "au chômage"
    return "inactif" if chance < unemployed + 0.09 else "en emploi"


def _pick(draw: Random, shares: tuple[float, ...]) -> int:
    chance = draw.random()
    for place, share in enumerate(shares):
        if chance < share:
            return place
    return len(shares) - 1
