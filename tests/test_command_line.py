"""Tests of command lines in a terminal: help and errors of argparse in one language, without the values that were typed."""

from __future__ import annotations

import pytest

from sspcloud_magics import __main__
from sspcloud_magics.i18n.command_line import describe_parse_error
from sspcloud_magics.sandbox import cli


@pytest.mark.parametrize(
    ("main", "line", "error"),
    [
        (__main__.main, "share db", "sspcloud share_: il manque des arguments obligatoires_: --with."),
        (__main__.main, "pods a b", "sspcloud_: il y a un argument de trop, ou une option inconnue."),
        (__main__.main, "open", "sspcloud_: choix inconnu (choisissez parmi "),
        (cli.main, "env --as", "sspcloud-sandbox env_: argument --as_: la valeur manque"),
    ],
)
@pytest.mark.usefixtures("french")
def test_error_is_in_the_readers_language(main, line, error, capsys):
    with pytest.raises(SystemExit):
        main(line.split())
    assert error.replace("_", "\N{NO-BREAK SPACE}") in capsys.readouterr().err


@pytest.mark.usefixtures("french")
def test_help_has_no_english(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["connect", "--help"])
    shown = capsys.readouterr().out
    assert "afficher cette aide" in shown
    assert "options" in shown
    assert "show this" not in shown


@pytest.mark.parametrize(
    "message",
    [
        "argument --json: ignored explicit argument 'hunter2'",
        "argument --port: invalid int value: 'hunter2'",
        "argument --since: invalid duration value: 'hunter2'",
        "unrecognized arguments: hunter2",
    ],
)
def test_typed_value_is_not_repeated(message):
    assert "hunter2" not in describe_parse_error(message)
