"""Suggestions for unknown names, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from sspcloud_magics.databases.postgres.catalogue import describe_table
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.session.pg_errors import QUOTED_NAME
from sspcloud_magics.databases.postgres.sql import name_cache, schema_names
from sspcloud_magics.databases.postgres.transfer.bulk_load import load_table
from sspcloud_magics.databases.postgres.transfer.copy import copy_from, copy_to
from sspcloud_magics.errors import QueryFailed
from sspcloud_magics.spelling import nearest
from tests.support.queries import chunks, query


@pytest.fixture
def survey(connection: DatabaseConnection) -> Iterator[DatabaseConnection]:
    """Tables on the path and off it, with names in upper case, too."""
    query(
        connection,
        'CREATE TABLE communes (code text, nom text, population int, "Surface" float);'
        "CREATE SCHEMA enquete; CREATE TABLE enquete.salaires (annee int, salaire numeric);"
        "CREATE TABLE \"Individus\" (id int); INSERT INTO communes VALUES ('35238', 'Rennes', 1, 2)",
    )
    yield connection
    if connection.in_transaction:
        query(connection, "ROLLBACK")
    query(connection, 'DROP TABLE communes, "Individus"; DROP SCHEMA enquete CASCADE')


NEAR = {
    "SELECT * FROM comunes": "communes",
    "SELECT * FROM public.comunes": "public.communes",
    "SELECT * FROM publik.communes": "public.communes",
    "SELECT * FROM salaires": "enquete.salaires",
    "SELECT * FROM enquete.salaire": "enquete.salaires",
    "SELECT * FROM individus": '"Individus"',
    "TABLE individu": '"Individus"',
    'SELECT * FROM "communes "': "communes",
    "DROP TABLE comunes": "communes",
    "INSERT INTO comunes VALUES (1)": "communes",
    "SELECT nom, populaton FROM communes": "population",
    "SELECT c.populaton\nFROM communes AS c WHERE code = :code": "c.population",
    "SELECT surface FROM communes": '"Surface"',
    'SELECT "Population" FROM communes': "population",
    "UPDATE communes SET populaton = 1": "population",
    "INSERT INTO communes (code, nomm) VALUES ('1', '2')": "nom",
    "ALTER TABLE communes DROP COLUMN populaton": "population",
    "SELECT com.nom FROM communes co": "co",
    "SELECT c.nom FROM communes JOIN enquete.salaires AS s ON true": "communes",
    "WITH a AS (SELECT annee FROM enquete.salaires) SELECT anee FROM a": "annee",
    "CREATE TABLE enquette.t (a int)": "enquete",
    "SET LOCAL ROLE none; SELECT lenght(nom) FROM communes": "length",
    "SELECT nom::integr FROM communes": "integer",
    "SELECT * FROM pg_catalog.pg_clas": "pg_catalog.pg_class",
}


def test_near_name_is_the_one_hint(survey: DatabaseConnection) -> None:
    for text, meant in NEAR.items():
        with pytest.raises(QueryFailed) as refused:
            query(survey, text, {"code": "35"})
        (told,) = refused.value.hint.splitlines()
        # The server knows more about a statement: its own hint about a column has priority.
        assert told == f"did you mean {meant}?" or (told.startswith("Perhaps you meant") and meant in told), (
            text
        )


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM xyzzy",
        "SELECT xyzzy FROM communes",
        "SELECT xyzzy(1)",
        "SELECT 1::xyzzy",
        "CREATE TABLE xyzzy.t (a int)",
        "SELECT length(1, 2, 3)",
        "SELECT x.nom FROM communes c",
    ],
)
def test_far_name_gets_no_guess(survey: DatabaseConnection, text: str) -> None:
    with pytest.raises(QueryFailed) as refused:
        query(survey, text)
    assert "did you mean" not in refused.value.hint


def test_text_in_double_quotes_gets_the_other_hint(survey: DatabaseConnection) -> None:
    with pytest.raises(QueryFailed) as refused:
        query(survey, 'SELECT * FROM communes WHERE nom = "Rennes"')
    assert "'Rennes'" in refused.value.hint
    assert "did you mean" not in refused.value.hint


def test_held_names_are_asked_for_nothing(
    survey: DatabaseConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read once, and again after a statement that may have changed them."""
    read: list[object] = []
    own = schema_names.read
    monkeypatch.setattr(schema_names, "read", lambda session: read.append(session) or own(session))
    for expected, text in [
        (1, "SELECT * FROM comunes"),
        (1, "SELECT * FROM comune"),
        (2, "CREATE TABLE enquete.later (a int); SELECT * FROM laterr"),
        (2, "BEGIN; CREATE TABLE unknown_yet (a int); SELECT * FROM comunes"),
        (2, "SELECT * FROM comunes"),
    ]:
        with pytest.raises(QueryFailed):
            query(survey, text)
        assert len(read) == expected, text
    held = name_cache.last_read(survey)
    assert held is not None
    assert held.names is not None


def test_hint_is_given_inside_a_transaction(survey: DatabaseConnection) -> None:
    with pytest.raises(QueryFailed):
        query(survey, "SELECT * FROM comunes")
    query(survey, "BEGIN")
    with pytest.raises(QueryFailed) as refused:
        query(survey, "SELECT * FROM comunes")
    assert refused.value.hint.startswith("did you mean communes?\n")
    assert "ROLLBACK" in refused.value.hint


def test_path_of_a_colleague_decides_nothing(survey: DatabaseConnection) -> None:
    """The names are read with only PostgreSQL's own schemas on the path, and the session's path stays."""
    query(survey, "CREATE SCHEMA trap; SET search_path = trap, pg_catalog, public")
    query(
        survey,
        "CREATE FUNCTION trap.current_schemas(boolean) RETURNS name[] LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'trapped'; END $$; CREATE VIEW trap.pg_class AS SELECT 1 AS nothing",
    )
    try:
        with pytest.raises(QueryFailed) as refused:
            query(survey, "SELECT * FROM comunes")
        assert refused.value.hint == "did you mean communes?"
        assert query(survey, "SHOW search_path").iloc[0, 0] == "trap, pg_catalog, public"
    finally:
        query(survey, "RESET search_path; DROP SCHEMA trap CASCADE")


def test_loading_and_describing_name_what_is_near(survey: DatabaseConnection) -> None:
    rows = pd.DataFrame({"nom": ["a"]})
    for call, meant in (
        (lambda: describe_table(survey, "comunes"), "communes"),
        (lambda: load_table(survey, rows, "comunes", "append"), "communes"),
        (lambda: load_table(survey, rows, "enquette.salaires", "append"), "enquete.salaires"),
        (lambda: load_table(survey, rows, "enquette.later"), "enquete"),
        (lambda: load_table(survey, rows, "enquette.later", "replace"), "enquete"),
        (
            lambda: load_table(survey, rows.rename(columns={"nom": "populaton"}), "communes", "append"),
            "population",
        ),
        (lambda: load_table(survey, rows.rename(columns={"nom": "Nom"}), "communes", "append"), "nom"),
    ):
        with pytest.raises(QueryFailed) as refused:
            call()
        (told,) = refused.value.hint.splitlines()
        assert told == f"did you mean {meant}?" or (told.startswith("Perhaps you meant") and meant in told)
        assert "COPY" not in str(refused.value)
        assert "SELECT" not in str(refused.value)
        assert "│" not in str(refused.value), "a statement that the user did not write"


def test_copying_names_what_is_near(survey: DatabaseConnection, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,2\n")
    for call in (
        lambda: copy_from(survey, "COPY comunes FROM STDIN (FORMAT csv)", tmp_path / "rows.csv"),
        lambda: copy_to(survey, "COPY comunes TO STDOUT", tmp_path / "out.csv"),
    ):
        with pytest.raises(QueryFailed) as refused:
            call()
        assert refused.value.hint == "did you mean communes?"
    (part,) = chunks(survey, "SELECT nom FROM communes", size=10)
    assert part["nom"].tolist() == ["Rennes"]


def test_replacing_below_a_view_tells_another_way(survey: DatabaseConnection) -> None:
    query(survey, "CREATE VIEW named AS SELECT nom FROM communes")
    try:
        with pytest.raises(QueryFailed) as refused:
            load_table(survey, pd.DataFrame({"nom": ["a"]}), "communes", "replace")
        assert "view named depends on table communes" in refused.value.why
        assert "CASCADE" not in str(refused.value)
        assert "%query_db DELETE FROM communes, then %load_table … communes --append" in refused.value.hint
        query(survey, "DELETE FROM communes")
        assert load_table(survey, pd.DataFrame({"nom": ["a"]}), "communes", "append") == 1
        assert query(survey, "SELECT * FROM named")["nom"].tolist() == ["a"]
    finally:
        query(survey, "DROP VIEW named")


def test_names_are_found_in_the_quotes_of_any_language() -> None:
    for message in (
        'relation "comunes" does not exist',
        "la relation « comunes » n'existe pas",
        "la relation «\N{NO-BREAK SPACE}comunes\N{NO-BREAK SPACE}» n'existe pas",
        "Relation »comunes« existiert nicht",
        "relace „comunes“ neexistuje",
    ):
        assert QUOTED_NAME.findall(message) == ["comunes"], message


def test_nearest_ignores_case_and_takes_the_first() -> None:
    assert nearest("NOM", ["nom", "Nom"]) == "nom"
    assert nearest("", ["nom"]) == ""
    assert nearest("x", []) == ""
