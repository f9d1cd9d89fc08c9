"""`--dry-run` shows every change: its output is compared with the requests and statements of the share."""

import re
import time

import pytest
import yaml

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.cluster.api.resources import JOBS, NETWORK_POLICIES, ROLE_BINDINGS, ROLES, SECRETS
from sspcloud_magics.cluster.requests import object_reads
from sspcloud_magics.secret import HIDDEN
from tests.sharing.on_the_sandbox.notebook import kubectl
from tests.sharing.on_the_sandbox.test_ending import wait_until_gone
from tests.sharing.on_the_sandbox.test_secrets import server_that_logs_all_statements
from tests.support.database import DATABASE
from tests.support.shares import superuser

KINDS = {each.plural: each for each in (JOBS, SECRETS, ROLES, ROLE_BINDINGS, NETWORK_POLICIES)}

LOOKS_ONLY = re.compile(r"\s*(SELECT|WITH|SHOW|BEGIN|COMMIT|LOCK TABLE|--|$)")


def list_changes(lines):
    """Return the statements that change something, without the parts that depend on the time."""
    each = (statement for line in lines for statement in re.split(r";(?: |$)", line))
    masked = (re.sub(r"SCRAM-SHA-256\$[^']+", HIDDEN, line) for line in each if not LOOKS_ONLY.match(line))
    return [re.sub(r"VALID UNTIL '[^']+'", "VALID UNTIL", line).rstrip(";") for line in masked]


def read_log_between(log, first, last):
    """Return the statements logged between two marks, which are set if they do not exist."""
    deadline = time.monotonic() + 60
    while True:
        lines = re.findall(r"LOG:\s+(?:statement|execute [^:]*): (.*)", log().decode())
        places = [index for mark in (first, last) for index, line in enumerate(lines) if mark in line]
        if any(last in line for line in lines):
            return lines[places[0] : places[-1]]
        assert time.monotonic() < deadline, "the server's log does not say what it was told"
        with superuser().psycopg as owner:
            owner.execute(f"SELECT '{last}'")


def object_of(manifest):
    plural = f"{manifest['kind'].lower()}s".replace("policys", "policies")
    return object_reads.get_object(session.current_cluster(), KINDS[plural], manifest["metadata"]["name"])


def comparable(manifest):
    """Return a manifest without the server's additions, a Secret's values, and the expiry."""
    metadata = manifest["metadata"]
    said = {name: text for name, text in metadata["annotations"].items() if not name.endswith("/until")}
    ordered = {
        key: manifest[key] for key in ("rules", "roleRef", "subjects", "spec", "type") if key in manifest
    }
    if manifest["kind"] == "Job":
        spec = ordered["spec"]
        container = spec["template"]["spec"]["containers"][0]
        ordered["spec"] = (spec["parallelism"], spec["ttlSecondsAfterFinished"], container["image"])
    owners = [(owner["kind"], owner["name"]) for owner in metadata.get("ownerReferences", ())]
    return {
        "labels": metadata["labels"],
        "said": said,
        "owners": owners,
        "keys": sorted(manifest.get("data", ())),
        **ordered,
    }


@pytest.fixture
def a_busy_server(be):
    """Carol writes; Dave's share has ended, and its role has privileges in another database too."""
    ssp.share_db(DATABASE, ["carol", "dave"], read_write=True)
    with superuser().psycopg as owner:
        owner.execute('CREATE DATABASE "autre é"')
    with superuser("autre é").psycopg as elsewhere:
        elsewhere.execute("GRANT CREATE ON SCHEMA public TO share_dave")
    yield
    with superuser().psycopg as owner:
        owner.execute('DROP DATABASE "autre é" WITH (FORCE)')


def test_what_a_dry_run_prints_is_what_is_then_done(be, a_busy_server, sandbox):
    kubectl(sandbox, "alice", "delete", "job", f"{DATABASE}-share-dave")
    wait_until_gone(session.current_cluster(), f"{DATABASE}-share-dave")
    # New ones who write; then those again, who shall only read, and without the network.
    for wish in ({"read_write": True, "via": "network"}, {}):
        with server_that_logs_all_statements(sandbox) as log:
            begin, tried, shared = (
                f"{mark} {wish}".replace("'", "") for mark in ("begin", "tried", "shared")
            )
            read_log_between(log, begin, begin)
            plan = ssp.preview_share(DATABASE, ["bob", "erin"], **wish)
            assert list_changes(read_log_between(log, begin, tried)) == []
            ssp.share_db(DATABASE, ["bob", "erin"], **wish)
            done = list_changes(read_log_between(log, tried, shared))
        printed = list_changes(plan.sql().splitlines())
        assert printed == done
        writes_and_reads = [line for line in printed if '"share_bob"' in line and '"share_carol"' in line]
        assert writes_and_reads, "what colleagues open to each other is told"
        for manifest in yaml.safe_load_all(plan.yaml()):
            assert comparable(manifest) == comparable(object_of(manifest))
    assert f"Removed if it exists: NetworkPolicy {DATABASE}-share-bob" in plan.yaml()
    for colleague in ("bob", "erin"):
        absent = kubectl(sandbox, "alice", "get", "networkpolicy", f"{DATABASE}-share-{colleague}")
        assert "NotFound" in absent


def test_rest_of_an_ended_share_is_removed_first(be, a_busy_server, sandbox):
    """Its role could create, so the next share would have included its future tables."""
    kubectl(sandbox, "alice", "delete", "job", f"{DATABASE}-share-dave")
    wait_until_gone(session.current_cluster(), f"{DATABASE}-share-dave")
    plan = ssp.preview_share(DATABASE, "bob")
    first, then = plan.sql().split("-- The share with bob")
    assert 'DROP ROLE IF EXISTS "share_dave"' in first
    assert "-- in the database autre é" in first
    assert "share_dave" not in then
    assert f"Removed first, because it has ended: {DATABASE}-share-dave" in plan.yaml()
    opened = ssp.share_db(DATABASE, "bob")
    assert opened.notes[0] == f"The remains of the share of {DATABASE} with dave were removed."
    assert list(ssp.shares()["colleague"]) == ["bob", "carol"]
    assert len(yaml.safe_load(kubectl(sandbox, "alice", "get", "jobs", "-o", "yaml"))["items"]) == 2
