"""The catalogue of messages: what the check of the French texts finds."""

from __future__ import annotations

import ast

import pytest
from babel.messages.catalog import Message

from sspcloud_magics import i18n
from sspcloud_magics.i18n import _, _n, language
from tools import catalogue


@pytest.mark.parametrize(
    ("english", "french", "fault"),
    [
        ("{name} is paused.", "", "no French text"),
        ("{name} is paused.", "{nom} est en pause.", "other placeholders"),
        ("{name} is paused.", "{name} is paused.", "is the English one"),
        ("run %k8s_login", "lancez %k8s_logout", "a word to type is missing: %k8s_login"),
        ("add --to FILE", "ajoutez FICHIER", "a word to type is missing: --to"),
        ("it is paused", "c'est en pause", "the apostrophe"),
        ("why: {why}", "pourquoi : {why}", "no-break spaces"),
    ],
)
def test_wrong_french_is_found(english, french, fault):
    faults = list(catalogue.check_message(Message(english, french, locations=[("a.py", 1)]), set()))
    assert any(fault in each for each in faults), faults


@pytest.mark.parametrize(
    ("english", "french"),
    [
        ("{name} is paused.", "{name} est en pause."),
        ("run %k8s_login config.sh", "lancez %k8s_login config.sh"),
        ("write = ANY('x')", "écrivez = ANY('x')"),
        (("{count} row", "{count} rows"), ("une ligne", "{count} lignes")),
    ],
)
def test_right_french_passes(english, french):
    message = Message(english, french, locations=[("a.py", 1)])
    assert list(catalogue.check_message(message, set())) == []


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("raise NotConnected('No database is connected.')", True),
        ("raise NotConnected(_('No database is connected.'))", False),
        ("note = f'{name} is paused.'", True),
        ("log.info('the session ends')", False),
        ("raise ValueError('no object here')", False),
        ("sql = 'SELECT a FROM b'", False),
        ("is_full = text == 'disk is full'", False),
    ],
)
def test_text_outside_the_catalogue_is_found(code, is_found):
    assert bool(list(catalogue.list_literals(ast.parse(code)))) == is_found


def test_message_in_an_f_string_is_found():
    tree = ast.parse('f"{_(\'a b\')}: {c}"\n_("{c}", c=c)')
    assert [message for message, _line in catalogue.list_messages(tree)] == ["{c}", "a b"]


@pytest.mark.usefixtures("french")
def test_values_and_plurals_are_french():
    assert _("A kubeconfig file.") == "Un fichier kubeconfig."
    assert [_n("{count} row", "{count} rows", n) for n in (0, 1, 101796)] == [
        "0 ligne",
        "1 ligne",
        "101\u202f796 lignes",
    ]
    assert _("no message of ours {brace") == "no message of ours {brace"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "en_US.UTF-8", "KUBERNETES_NAMESPACE": "user-alice"}, "fr"),
        ({"LC_ALL": "C", "LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LC_ALL": "C.UTF-8", "LC_MESSAGES": "POSIX", "LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LC_ALL": "C", "LC_MESSAGES": "de_DE.UTF-8", "LANG": "fr_FR.UTF-8"}, "en"),
        ({"LC_ALL": "C.UTF-8", "LANG": "C", "KUBERNETES_NAMESPACE": "user-alice"}, "fr"),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LC_MESSAGES": "fr_CA", "LANG": "en_GB"}, "fr"),
        ({"LANG": "en_GB.UTF-8", "KUBERNETES_NAMESPACE": "user-alice"}, "en"),
        ({"LANG": "de_DE.UTF-8", "KUBERNETES_NAMESPACE": "user-alice"}, "en"),
        ({"SSPCLOUD_LANGUAGE": "en", "LANG": "fr_FR"}, "en"),
        ({"SSPCLOUD_LANGUAGE": "nonsense!", "LANG": "fr_FR"}, "fr"),
    ],
)
def test_first_source_that_names_a_language_counts(environment, expected):
    chosen = language.from_environment(environment)
    assert (chosen[min(chosen)] if chosen else "en") == expected


def test_change_is_told_once_to_each_listener(french):
    heard: list[str] = []
    remove = i18n.on_change(heard.append)
    i18n.choose(i18n.Source.SETTING, "en")
    i18n.choose(i18n.Source.SETTING, "en-GB")
    i18n.choose(i18n.Source.BROWSER, "fr")
    i18n.choose(i18n.Source.BROWSER, "")
    remove()
    i18n.choose(i18n.Source.SETTING, "fr")
    assert heard == ["en"]
