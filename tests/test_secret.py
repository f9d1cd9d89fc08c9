"""Only `reveal` returns the value of a secret."""

import copy
import json
import logging
import pickle
import traceback

import pytest

from sspcloud_magics.secret import Form, Secret, check_secret, without_frames

CANARY = "canary-in-a-coal-mine"


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r:>40}".format, "%s".__mod__, ascii])
def test_no_display_shows_the_value(show):
    assert CANARY not in show(Secret(CANARY))


def test_reveal_gives_the_value():
    assert Secret(CANARY).reveal() == CANARY


@pytest.mark.parametrize("spec", ["", ">20", "^30s"])
def test_formatting_keeps_the_width_and_hides_it(spec):
    shown = format(Secret(CANARY), spec)
    assert CANARY not in shown
    assert len(shown) >= int("".join(filter(str.isdigit, spec)) or 0)


@pytest.mark.parametrize("store", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_neither_pickled_nor_copied(store):
    with pytest.raises(TypeError) as refused:
        store(Secret(CANARY))
    assert CANARY not in str(refused.value)


def test_json_refuses_a_secret():
    with pytest.raises(TypeError):
        json.dumps({"password": Secret(CANARY)})


def test_log_line_and_traceback_with_locals_hide_it(caplog):
    password = Secret(CANARY)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(__name__).debug("connecting with %s", password)
    with pytest.raises(TypeError) as raised:
        int(password)
    told = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert CANARY not in "".join(told.format())
    assert CANARY not in caplog.text


def test_secrets_are_equal_when_their_values_are():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("é"), Secret("é"), Secret("b")}) == 2


def test_an_empty_secret_is_false():
    assert not Secret("")
    assert Secret("x")


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Form.TOKEN, f"{CANARY}\n"),
        (Form.TOKEN, f"{CANARY} x"),
        (Form.TOKEN, f"{CANARY}\u20ac"),
        (Form.TOKEN, [CANARY]),
        (Form.TOKEN, ""),
        (Form.PHRASE, f"{CANARY}\r"),
        (Form.PEM, f"{CANARY}\x1b"),
        (Form.PASSWORD, f"{CANARY}\0"),
        (Form.PASSWORD, f"{CANARY}\udcff"),
    ],
)
def test_a_value_of_no_use_is_refused_unquoted(form, value):
    with pytest.raises(ValueError, match=r"^It is|^A ") as refused:
        check_secret(value, form, ValueError)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Form.TOKEN, "a.b-c_d~e+f/g="),
        (Form.PHRASE, "two words"),
        (Form.PEM, "-----BEGIN KEY-----\r\nAA==\n"),
        (Form.PASSWORD, "pässword\n\u20ac"),
    ],
)
def test_a_usable_value_is_hidden(form, value):
    assert check_secret(value, form, ValueError) == Secret(value)


def test_without_frames_leaves_no_variable():
    @without_frames
    def read():
        text = CANARY
        try:
            int(text)
        except ValueError:
            raise KeyError("it cannot be read") from None

    with pytest.raises(KeyError) as raised:
        read()
    told = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert CANARY not in "".join(told.format())
    assert raised.value.__context__ is None
