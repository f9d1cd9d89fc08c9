"""Objects in a real S3 server: written whole or not at all, read into tables, with hidden keys."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pandas as pd
import pytest

from sspcloud_magics.databases import export, kinds
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.errors import CredentialsNotFound, LoginRefused, QueryFailed, UsageProblem
from sspcloud_magics.lake import s3_client, s3_uploads, transfer
from sspcloud_magics.lake.s3_access import S3Access, find_access
from sspcloud_magics.lake.s3_target import S3Target
from sspcloud_magics.secret import Secret
from tests.lake.test_query import ask
from tests.support.ports import free_port
from tests.support.s3_server import S3Server, start_s3
from tests.support.waiting import wait_until


@pytest.fixture
def store(instance, connection, s3) -> Any:
    instance.refresh({"pg": connection}, needs_s3=True)
    return instance


def upload(store: Any, connection: Any, sql: str, place: str, **more: Any) -> Any:
    """Write the rows of a query, as ``%%query_db --to s3://…`` does."""
    overwrite, partition_by = more.pop("overwrite", False), more.pop("partition_by", ())
    destination = transfer.S3Destination(store, S3Target(place, overwrite, partition_by))
    return kinds.get("postgres").run(connection, sql, {}, QueryOptions(**more), Output(to=destination))


def test_rows_of_postgres_become_an_object(store, connection, s3):
    sql = "select i, i::text as t, now() as at from generate_series(1, 2500) i"
    place = "s3://diffusion/whole.parquet"
    written = upload(store, connection, sql, place)
    assert repr(written).startswith(f"2,500 rows in {place} (")
    assert "whole.parquet" in s3.keys("diffusion")
    found = ask(store, f"SELECT count(*) AS n, sum(i) AS s FROM read_parquet('{place}')")
    assert found.iloc[0].tolist() == [2500, 2500 * 2501 // 2]
    with pytest.raises(UsageProblem, match="exists"):
        upload(store, connection, sql, place)
    assert upload(store, connection, "select 1 as i", place, overwrite=True).rows == 1
    assert ask(store, f"SELECT i FROM read_parquet('{place}')")["i"].tolist() == [1]


def test_json_and_notes_arrive(store, connection):
    sql = """select '{"a": 1.50}'::json as j, date 'infinity' as d"""
    written = upload(store, connection, sql, "s3://diffusion/json.parquet")
    assert [note.partition(":")[0] for note in written.notes] == ["d"]
    found = ask(store, "SELECT j FROM read_parquet('s3://diffusion/json.parquet')")
    assert found["j"].tolist() == ['{"a": 1.50}']


LARGE = "select i, repeat('x', 1000) as t {more} from generate_series(1, 40000) i"
"""Several parts of an export, and several of an upload, with the fixture `small_parts`."""


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of few bytes: S3's least size is 5 MiB."""
    monkeypatch.setattr(export, "PART_BYTES", 1 << 20)
    monkeypatch.setattr(s3_uploads, "PART_BYTES", 6 << 20)


@pytest.mark.usefixtures("small_parts")
def test_failure_in_the_middle_leaves_nothing(store, connection, s3):
    """The object that was there stays, and parts that were sent are removed."""
    place = "s3://diffusion/half.csv"
    upload(store, connection, "select 1 as i", place)
    with pytest.raises(QueryFailed, match="division by zero"):
        upload(store, connection, LARGE.format(more=", 1 / (39000 - i) as q"), place, overwrite=True)
    assert s3.uploads("diffusion") == []
    assert ask(store, f"SELECT i FROM read_csv('{place}')")["i"].tolist() == [1]
    assert connection.psycopg.execute("select 1").fetchone() == (1,)


@pytest.mark.usefixtures("small_parts")
def test_wide_rows_are_written_in_small_parts(store, connection):
    """Memory holds bytes, not a number of rows: these are fewer than a row group has."""
    place = "s3://diffusion/wide.parquet"
    upload(store, connection, LARGE.format(more=""), place)
    found = ask(store, f"SELECT max(row_group_num_rows) AS n FROM parquet_metadata('{place}')")
    assert found["n"][0] < 40_000 / 4


@pytest.mark.usefixtures("small_parts")
def test_failure_of_duckdb_leaves_nothing(store, s3):
    sql = "SELECT i, repeat('x', 1000) AS t, CASE WHEN i = 39000 THEN error('broken') END AS q FROM range(40000) t(i)"
    with pytest.raises(QueryFailed, match="broken"):
        ask(store, sql, to="s3://diffusion/broken.csv")
    assert "broken.csv" not in s3.keys("diffusion")
    assert s3.uploads("diffusion") == []


@pytest.mark.usefixtures("small_parts")
def test_interruption_leaves_nothing(store, connection, s3):
    def interrupt(rows: int, _size: int, _seconds: float) -> None:
        if rows > 30_000:
            wait_until(lambda: s3.uploads("diffusion") == ["stopped.csv"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(store, connection, LARGE.format(more=""), "s3://diffusion/stopped.csv", progress=interrupt)
    assert "stopped.csv" not in s3.keys("diffusion")
    assert s3.uploads("diffusion") == []
    assert connection.psycopg.execute("select 1").fetchone() == (1,)


@pytest.fixture
def own_s3(connection, monkeypatch) -> Iterator[S3Server]:
    """A server that a test may kill, with the bucket ``diffusion``."""
    with start_s3() as running:
        running.make_bucket("diffusion")
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def own_store(instance, connection, own_s3) -> Any:
    instance.refresh({"pg": connection}, needs_s3=True)
    return instance


@pytest.mark.usefixtures("small_parts")
def test_killed_s3_server_is_an_error(own_store, connection, own_s3):
    def kill(rows: int, _size: int, _seconds: float) -> None:
        if rows > 20_000:
            own_s3.process.kill()
            own_s3.process.wait()

    with pytest.raises(QueryFailed, match="does not answer"):
        upload(own_store, connection, LARGE.format(more=""), "s3://diffusion/gone.csv", progress=kill)
    assert connection.psycopg.execute("select 1").fetchone() == (1,)


@pytest.mark.usefixtures("small_parts")
def test_interrupt_ends_with_a_stalled_s3_server(own_store, connection, own_s3):
    def stall(rows: int, _size: int, _seconds: float) -> None:
        if rows > 20_000:
            own_s3.process.send_signal(signal.SIGSTOP)
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            upload(own_store, connection, LARGE.format(more=""), "s3://diffusion/stalled.csv", progress=stall)
    finally:
        own_s3.process.send_signal(signal.SIGCONT)
    assert own_s3.keys("diffusion") == []


@pytest.fixture
def give_keys(request, monkeypatch, tmp_path) -> Callable[[dict[str, str]], None]:
    """Puts keys into the environment, or into the profile of the AWS tools."""

    def put_into_environment(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    def put_into_profile(variables: dict[str, str]) -> None:
        lines = [f"{name.lower()} = {value}" for name, value in variables.items()]
        (tmp_path / "credentials").write_text("\n".join(["[default]", *lines]))

    if request.param == "environment":
        return put_into_environment
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return put_into_profile


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("give_keys", ["environment", "profile"], indirect=True)
def test_new_keys_continue_an_upload(own_s3, give_keys, instance, connection):
    """Its keys end after some of the parts; the server checks each request."""
    old, new = own_s3.make_keys(), own_s3.make_session()
    give_keys(old)

    def renew(rows: int, _size: int, _seconds: float) -> None:
        if rows > 20_000 and find_access().key == old["AWS_ACCESS_KEY_ID"]:
            give_keys(new)
            own_s3.end_keys(old)

    with own_s3.check_keys():
        instance.refresh({"pg": connection}, needs_s3=True)
        written = upload(instance, connection, LARGE.format(more=""), "s3://diffusion/a.csv", progress=renew)
        instance.refresh({"pg": connection}, needs_s3=True)
        found = ask(instance, "SELECT count(*) AS n, sum(i) AS s FROM read_csv('s3://diffusion/a.csv')")
    assert found.iloc[0].tolist() == [written.rows, 40_000 * 40_001 // 2]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("give_keys", ["environment"], indirect=True)
def test_ended_keys_leave_no_object(own_s3, give_keys, instance, connection):
    old = own_s3.make_keys()
    give_keys(old)
    ended: list[int] = []

    def end(rows: int, _size: int, _seconds: float) -> None:
        if rows > 20_000 and not ended:
            own_s3.end_keys(old)
            ended.append(rows)

    with own_s3.check_keys():
        instance.refresh({"pg": connection}, needs_s3=True)
        with pytest.raises(LoginRefused, match="have expired") as caught:
            upload(instance, connection, LARGE.format(more=""), "s3://diffusion/b.csv", progress=end)
    assert old["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
    assert own_s3.keys("diffusion") == []
    assert connection.psycopg.execute("select 1").fetchone() == (1,)


def test_partitions_are_objects_below_a_prefix(store, connection, s3):
    sql = "select i, case when i % 2 = 0 then 'even' else 'odd' end as kind from generate_series(1, 10) i"
    upload(store, connection, sql, "s3://diffusion/parts", partition_by=["kind"])
    found = {key for key in s3.keys("diffusion") if key.startswith("parts/")}
    assert {key.split("/")[1] for key in found} == {"kind=even", "kind=odd"}
    with pytest.raises(UsageProblem, match="exists"):
        upload(store, connection, sql, "s3://diffusion/parts", partition_by=["kind"])


def test_overwritten_partitions_keep_no_old_row(store, connection, s3):
    """Objects of other values are removed too, and those that no export has written stay."""
    sql = "select i, i % {count} as kind from generate_series(1, 10) i"
    place = "s3://diffusion/again"
    upload(store, connection, "select 1 as i", f"{place}/other.parquet")
    upload(store, connection, sql.format(count=3), place, partition_by=["kind"], overwrite=True)
    upload(store, connection, sql.format(count=2), place, partition_by=["kind"], overwrite=True)
    found = ask(store, f"SELECT count(*) AS n FROM read_parquet('{place}/*/*.parquet')")
    assert found["n"].tolist() == [10]
    assert "again/other.parquet" in s3.keys("diffusion")


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ("s3://no-such-bucket/a.parquet", QueryFailed, "no bucket no-such-bucket"),
        ("s3://diffusion", UsageProblem, "ends neither"),
        ("s3://diffusion.parquet", UsageProblem, "no bucket, or no name"),
        ("s3://diffusion/a.xlsx", UsageProblem, "ends neither"),
    ],
)
def test_wrong_address_is_refused_before_the_query(store, connection, place, error, words):
    def refuse(*_given: Any) -> None:
        raise AssertionError("the query has run")

    with pytest.raises(error, match=words):
        upload(store, connection, "select 1 as i", place, progress=refuse)


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("ExpiredToken", LoginRefused, "have expired"),
        ("InvalidAccessKeyId", LoginRefused, "have expired"),
        ("SignatureDoesNotMatch", LoginRefused, "have expired"),
        ("AccessDenied", LoginRefused, "does not allow this in the bucket hers"),
        ("NoSuchBucket", QueryFailed, "no bucket hers"),
        ("SlowDown", QueryFailed, "SlowDown: later"),
    ],
)
def test_refusals_of_s3_are_told_apart(code, error, words):
    text = f"<Error><Code>{code}</Code><Message>later</Message></Error>"
    with pytest.raises(error, match=words):
        raise s3_client.explain_refusal(text, "hers/a.parquet")


class _Refusal(BaseHTTPRequestHandler):
    """Refuses each request with the server's code, as S3 does."""

    def _refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = f"<Error><Code>{self.server.code}</Code><Message>refused</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _refuse  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_given: Any) -> None:
        """Say nothing."""


@pytest.fixture
def refusing_s3(monkeypatch, s3) -> Iterator[Callable[[str], None]]:
    """A server that refuses with a code, which the test sets, and the keys of the real one."""
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), _Refusal)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_S3_ENDPOINT", f"http://127.0.0.1:{server.server_port}")

    def refuse(code: str) -> None:
        server.code = code

    yield refuse
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("code", "words"),
    [("ExpiredToken", "have expired"), ("AccessDenied", "does not allow this in the bucket hers")],
)
def test_refused_export_says_why(instance, connection, refusing_s3, code, words):
    refusing_s3(code)
    instance.refresh({"pg": connection}, needs_s3=True)
    for overwrite in (False, True):
        with pytest.raises(LoginRefused, match=words):
            upload(instance, connection, "select 1 as i", "s3://hers/a.parquet", overwrite=overwrite)


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_signature_is_that_of_the_specification(query, signature):
    """The examples of "Signature Calculations for the Authorization Header" in Amazon's manual."""
    access = S3Access(
        endpoint="examplebucket.s3.amazonaws.com",
        use_tls=True,
        region="us-east-1",
        key="AKIAIOSFODNN7EXAMPLE",
        secret=Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        token=None,
    )
    moment = datetime(2013, 5, 24, tzinfo=UTC)
    headers = s3_client.sign(access, "GET", "/", query, body=b"", moment=moment)
    assert headers["Authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_object_becomes_a_table(store, connection, suffix):
    place = f"s3://diffusion/back.{suffix}"
    upload(store, connection, "select i, 'n' || i as t from generate_series(1, 2500) i", place)
    frames = [part.to_pandas() for part in transfer.read_file(store, place)]
    assert sum(map(len, frames)) == 2500
    assert list(pd.concat(frames).columns) == ["i", "t"]


def test_keys_appear_nowhere(store, s3):
    secrets = s3.environment["AWS_SECRET_ACCESS_KEY"], s3.environment["AWS_SESSION_TOKEN"]
    with pytest.raises(QueryFailed) as caught:
        ask(store, "SELECT * FROM read_parquet('s3://diffusion/nowhere.parquet')")
    shown = [ask(store, f"SELECT * FROM {name}()").to_csv() for name in ("duckdb_secrets", "duckdb_settings")]
    shown.append(str(caught.value))
    assert not any(secret in text for secret in secrets for text in shown)


def test_new_keys_are_read_at_the_next_use(store, connection, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-tomorrow")
    store.refresh({"pg": connection}, needs_s3=True)
    assert "key-of-tomorrow" in ask(store, "SELECT secret_string FROM duckdb_secrets()").to_csv()


def test_missing_keys_are_an_error_with_a_hint(instance, connection, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(CredentialsNotFound, match="No keys to S3"):
        instance.refresh({"pg": connection}, needs_s3=True)


def test_profile_of_the_aws_tools_is_read(tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = a\naws_secret_access_key = b%c\n[lab]\naws_access_key_id = x\n"
        "aws_secret_access_key = y\naws_session_token = z\n"
    )
    (tmp_path / ".aws" / "config").write_text(
        "[profile lab]\nregion = eu-west-3\nendpoint_url = http://s3:9000\n"
    )
    found = find_access({"HOME": str(tmp_path)})
    assert (found.key, found.secret, found.endpoint) == ("a", Secret("b%c"), "s3.us-east-1.amazonaws.com")
    lab = find_access({"HOME": str(tmp_path), "AWS_PROFILE": "lab"})
    assert (lab.key, lab.region, lab.endpoint, lab.use_tls) == ("x", "eu-west-3", "s3:9000", False)
    (tmp_path / ".aws" / "credentials").write_text("not an ini file")
    with pytest.raises(CredentialsNotFound):
        find_access({"HOME": str(tmp_path)})
