"""Lines of magics, and the errors for mistakes in them."""

from __future__ import annotations

import re

import pytest

from sspcloud_magics.errors import NotConnected, UsageProblem
from sspcloud_magics.magics import _CLASSES
from sspcloud_magics.magics.arguments import arguments, split_line
from sspcloud_magics.magics.forwarding import ForwardingMagics
from tests.magics.conftest import Notebook

MAGICS = [
    "connect_db",
    "databases",
    "describe_table",
    "forward",
    "forwards",
    "k8s_doctor",
    "k8s_apply",
    "k8s_delete",
    "k8s_describe",
    "k8s_get",
    "k8s_login",
    "k8s_logs",
    "k8s_pods",
    "k8s_services",
    "k8s_whoami",
    "load_table",
    "queries",
    "query_db",
    "sandbox",
    "share",
    "share_db",
    "shares",
    "tables",
    "sspcloud",
    "unforward",
    "unshare",
]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        (r"--kubeconfig C:\Users\ana\config", ["--kubeconfig", r"C:\Users\ana\config"]),
        ("a#b # c", ["a#b"]),
        ("postgresql  # a colleague's", ["postgresql"]),
        ("", []),
    ],
)
def test_a_line_is_split_as_people_expect(line: str, words: list[str]) -> None:
    assert split_line(line) == words


@pytest.mark.parametrize(
    "line",
    [
        "svc/x :9002 http -n lab --unix",
        "svc/x -n lab :9002 http --unix",
        "svc/x -n lab --unix :9002 http",
        "svc/x :9002 -n lab http --unix",
        "-n lab --unix svc/x :9002 http",
    ],
)
def test_options_may_stand_anywhere(line: str) -> None:
    """kubectl accepts them in this order: port-forward svc/x -n lab 9002."""
    given = arguments(ForwardingMagics(), "forward", line)
    assert (given.target, given.ports) == ("svc/x", [":9002", "http"])
    assert (given.namespace, given.unix) == ("lab", True)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%forward", "required: TARGET"),
        ("%forward 'svc/x", "quote"),
        ("%forward svc/x --adress here", "no option --adress"),
        ("%forward svc/x --timeout soon", "--timeout"),
        ("%forward svc/x 70000", "70000 is not a port"),
        ("%forward svc/x 80:99999", "99999 is not a port"),
        ("%forward svc/x x:80", "'x' is not a local port"),
        ("%forward svc/x 80/udp", "'80/udp' is not a port"),
        ("%forward a/secret/x 80", "'secret' is not a kind"),
        ("%forward a/b/c/d 80", "not a target"),
        ("%forward a/svc/x 80 -n b", "namespace 'a', but -n names 'b'"),
        ("%forwards now", "1 word too many"),
        ("%forwards %forwards", "The line has %forwards twice"),
        ("%share_db db --with bob --for 3 mondays", "1 word too many"),
        ("%share_db db --with bob --for -1d", "--for: a value is missing, or begins with a dash"),
        ("%unforward", "all of them"),
        ("%unforward 80 --all", "not both"),
        ("%k8s_whoami at all", "2 words too many"),
        ("%k8s_pods -n a -A", "exclude each other"),
        ("%k8s_pods --help", "not --help"),
        ("%databases --all", "no option --all"),
        ("%query_db", "no SQL"),
        ("%query_db --into df SELECT 1", "%%query_db"),
        ("%%query_db --into 2df\nSELECT 1", "variable"),
        ("%%query_db --into class\nSELECT 1", "variable"),
        ("%%query_db --limit 0\nSELECT 1", "--limit"),
        ("%%query_db --limit many\nSELECT 1", "--limit"),
        ("%%query_db SELECT 1\nSELECT 1", "2 words too many"),
        ("%sandbox begin", "invalid choice"),
        ("%sandbox as", "needs a user"),
        ("%sandbox start bob", "needs a user"),
        ("%sandbox as dave", "'alice'"),
    ],
)
def test_mistake_is_told_with_a_hint_and_no_traceback(notebook: Notebook, cell: str, says: str) -> None:
    error = notebook.fail(cell)
    assert isinstance(error, UsageProblem)
    assert says in notebook.printed


def test_unconnected_query_says_how_to_connect(notebook: Notebook) -> None:
    error = notebook.fail("%query_db SELECT 1")
    assert isinstance(error, NotConnected)
    assert "%connect_db" in error.hint


@pytest.mark.parametrize(
    "line",
    [
        "%connect_db db --password CANARY",
        "%connect_db db --password=CANARY",
        "%connect_db db -p CANARY",
        "%connect_db db --user ana CANARY",
        "%connect_db postgresql://ana:CANARY@host/db",
        "%k8s_login --token CANARY",
        "%k8s_login --server https://x --token=CANARY",
        "%k8s_login CANARY",
        "%k8s_login eyJCANARY.eyJCANARY.CANARY",
        "%k8s_login --context eyJCANARY.eyJCANARY.CANARY",
        "%connect_db db --url-env postgresql://ana:CANARY@host/db",
        "%connect_db db --timeout CANARY",
    ],
)
def test_secret_on_the_line_is_refused_unrepeated(notebook: Notebook, line: str) -> None:
    error = notebook.fail(line)
    assert isinstance(error, UsageProblem)
    assert "CANARY" not in notebook.printed
    assert "CANARY" not in repr(error.args)


@pytest.mark.parametrize("line", ["%connect_db db --password x", "%k8s_login --token x"])
def test_written_secret_is_told_with_what_to_do(notebook: Notebook, line: str) -> None:
    notebook.fail(line)
    assert "history" in notebook.printed
    assert "→ %" in notebook.printed


def test_names_that_look_like_secrets_are_names(notebook: Notebook) -> None:
    error = notebook.fail("%forward svc/my-token-key --adress x")
    assert "--adress" in str(error)


def test_a_comment_behind_a_magic_is_none_of_its_words(notebook: Notebook) -> None:
    assert "No forward" in str(notebook.run("%unforward --all  # what was open"))
    with pytest.raises(UsageProblem, match="1 word too many"):
        notebook.run("%forwards #everything")


def test_variables_are_filled_into_a_database_name(notebook: Notebook) -> None:
    notebook.run("database = 'user-alice/no such database'")
    with pytest.raises(UsageProblem, match="2 words too many"):
        notebook.run("%connect_db $database")


def test_variables_are_filled_into_forwards_not_sql(notebook: Notebook) -> None:
    notebook.run("port = 99999")
    assert "99999 is not a port" in str(notebook.fail("%forward svc/x $port"))
    assert "99999 is not a port" in str(notebook.fail("%forward svc/x {port}"))
    assert isinstance(notebook.fail("%query_db SELECT '{port}', '{no such thing'"), NotConnected)


@pytest.mark.parametrize("name", MAGICS)
def test_magic_help_has_examples_that_parse(notebook: Notebook, name: str) -> None:
    found = notebook.shell.find_line_magic(name)
    help_text = found.__doc__
    found_examples = (re.search(rf"(?<=.{{4}})%{name}(?!\w)(.*)", line) for line in help_text.splitlines())
    examples = [example[1] for example in found_examples if example]
    assert "Example" in help_text
    assert "The same in Python" in help_text
    assert examples
    for example in examples:
        if name != "query_db":
            found.parser.parse_args(split_line(example))


def test_help_is_shown_for_a_question_mark(notebook: Notebook) -> None:
    notebook.run("%forward?")
    assert "[LOCAL]:REMOTE" in notebook.printed
    assert "%forward mon-api-abcdef-12345 1500:8000" in notebook.printed


def test_no_magic_is_missing_here() -> None:
    there = {name for kind in _CLASSES for names in kind.magics.values() for name in names}
    assert there == set(MAGICS)
