"""The grammar of targets and ports, as users type them and mistype them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.target import PortText, Target, TargetText, parse_port, parse_target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mon-api-abcdef-12345", TargetText("mon-api-abcdef-12345")),
        ("pod/x", TargetText("x", "pod")),
        ("po/x", TargetText("x", "pod")),
        ("svc/x", TargetText("x", "service")),
        ("Service/x", TargetText("x", "service")),
        ("deploy/x", TargetText("x", "deployment")),
        ("deployments/x", TargetText("x", "deployment")),
        ("sts/x", TargetText("x", "statefulset")),
        ("statefulset/x", TargetText("x", "statefulset")),
        ("user-alice/svc/x", TargetText("x", "service", "user-alice")),
        ("user-alice/postgresql-cnpg-951239", TargetText("postgresql-cnpg-951239", None, "user-alice")),
        ("rs/x", TargetText("x", "replicaset")),
        ("ds/x", TargetText("x", "daemonset")),
        ("daemonset/x", TargetText("x", "daemonset")),
        ("job/x", TargetText("x", "job")),
        ("deployment.apps/x", TargetText("x", "deployment")),
        ("deployments.v1.apps/x", TargetText("x", "deployment")),
        ("jobs.batch/x", TargetText("x", "job")),
        ("user-alice/statefulset.apps/x", TargetText("x", "statefulset", "user-alice")),
        ("job.apps/x", TargetText("x", None, "job.apps")),
        ("mon-api-", TargetText("mon-api-")),
        ("svc/mon-api-", TargetText("mon-api-", "service")),
        ("  svc/x ", TargetText("x", "service")),
    ],
)
def test_targets_are_taken_apart(text, expected):
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "svc/",
        "/x",
        "a/b/c/d",
        "user-alice/cronjob/x",
        "user-alice/job.apps/x",
        "Pod_1",
        "svc/My-Api",
        "x;rm",
        "x y",
        "-x",
    ],
)
def test_what_is_no_target_is_refused_with_the_form(text):
    with pytest.raises(UsageProblem) as refused:
        parse_target(text)
    assert refused.value.hint


@pytest.mark.parametrize("text", ["x", "svc/x", "user-alice/deploy/x", "user-alice/x"])
def test_a_target_text_is_written_as_it_was_typed(text):
    assert str(parse_target(text)) == text


def test_a_target_is_written_as_it_can_be_typed():
    target = Target("user-alice", "service", "db-rw")
    assert str(target) == "user-alice/svc/db-rw"
    assert parse_target(str(target)) == TargetText("db-rw", "service", "user-alice")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5432", PortText(5432)),
        (5432, PortText(5432)),
        ("1500:8000", PortText(8000, 1500)),
        (":8000", PortText(8000, 0)),
        ("0:8000", PortText(8000, 0)),
        ("http", PortText("http")),
        ("1500:http", PortText("http", 1500)),
        (":web-1", PortText("web-1", 0)),
        ("65535", PortText(65535)),
    ],
)
def test_ports_are_taken_apart(text, expected):
    assert parse_port(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "0",
        "65536",
        "1:0",
        "70000:80",
        "-1",
        "80:",
        "a:b:c",
        "http:80",
        "1.5",
        "8O:80",
        "²",
        "1:²",
        "name-longer-than-fifteen",
    ],
)
def test_what_is_no_port_is_refused(text):
    with pytest.raises(UsageProblem):
        parse_port(text)


@given(st.text(max_size=40))
def test_any_text_is_a_port_or_a_usage_problem(text):
    try:
        port = parse_port(text)
    except UsageProblem:
        return
    assert parse_port(str(port)) == port


@given(st.text(max_size=40))
def test_any_text_is_a_target_or_a_usage_problem(text):
    try:
        target = parse_target(text)
    except UsageProblem:
        return
    assert parse_target(str(target)) == target
