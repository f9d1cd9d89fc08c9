"""Objects in a real S3 server: written whole or not at all, read into tables, with hidden keys."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from sspcloud_magics.databases import kinds
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.errors import CredentialsNotFound, LoginRefused, QueryFailed, UsageProblem
from sspcloud_magics.lake import transfer
from sspcloud_magics.lake.s3_access import find_access
from sspcloud_magics.secret import Secret
from tests.lake.test_query import ask


@pytest.fixture
def store(instance, connection, s3) -> Any:
    instance.refresh({"pg": connection}, needs_s3=True)
    return instance


def chunks_of(connection: Any, sql: str, size: int = 1000) -> Any:
    run = kinds.get("postgres").run
    return run(connection, sql, {}, QueryOptions(), Output(as_="arrow", chunks=size))


def test_rows_of_postgres_become_an_object(store, connection, s3):
    sql = "select i, i::text as t, now() as at from generate_series(1, 2500) i"
    place = "s3://diffusion/whole.parquet"
    written = transfer.upload(store, chunks_of(connection, sql), place)
    assert repr(written) == f"2,500 rows in {place}"
    assert "whole.parquet" in s3.keys("diffusion")
    found = ask(store, f"SELECT count(*) AS n, sum(i) AS s FROM read_parquet('{place}')")
    assert found.iloc[0].tolist() == [2500, 2500 * 2501 // 2]
    with pytest.raises(UsageProblem, match="exists"):
        transfer.upload(store, chunks_of(connection, sql), place)
    assert transfer.upload(store, chunks_of(connection, "select 1 as i"), place, overwrite=True).rows == 1


def test_failure_in_the_middle_leaves_no_object(store, connection, s3):
    sql = "select 1000 / (4000 - i) as x, repeat('x', 500) as t from generate_series(1, 5000) i"
    with pytest.raises(QueryFailed, match="division by zero"):
        transfer.upload(store, chunks_of(connection, sql), "s3://diffusion/half.parquet")
    assert "half.parquet" not in s3.keys("diffusion")
    # The connection and the instance stay usable.
    assert ask(store, "SELECT 1 AS a")["a"][0] == 1
    assert connection.psycopg.execute("select 1").fetchone() == (1,)


def test_interruption_leaves_no_object(store, connection, s3):
    def interrupt(rows: int, _size: int, _seconds: float) -> None:
        if rows > 2000:
            raise KeyboardInterrupt

    sql = "select i, repeat('x', 500) as t from generate_series(1, 100000) i"
    with pytest.raises(KeyboardInterrupt):
        transfer.upload(
            store, chunks_of(connection, sql), "s3://diffusion/stopped.parquet", progress=interrupt
        )
    assert "stopped.parquet" not in s3.keys("diffusion")
    assert connection.psycopg.execute("select 1").fetchone() == (1,)


def test_partitions_are_objects_below_a_prefix(store, connection, s3):
    sql = "select i, case when i % 2 = 0 then 'even' else 'odd' end as kind from generate_series(1, 10) i"
    transfer.upload(store, chunks_of(connection, sql), "s3://diffusion/parts", partition_by=["kind"])
    found = {key for key in s3.keys("diffusion") if key.startswith("parts/")}
    assert {key.split("/")[1] for key in found} == {"kind=even", "kind=odd"}
    with pytest.raises(UsageProblem, match="exists"):
        transfer.upload(store, chunks_of(connection, sql), "s3://diffusion/parts", partition_by=["kind"])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_object_becomes_a_table(store, connection, suffix):
    place = f"s3://diffusion/back.{suffix}"
    transfer.upload(
        store,
        chunks_of(connection, "select i, 'n' || i as t from generate_series(1, 2500) i"),
        place,
        overwrite=True,
    )
    frames = [part.to_pandas() for part in transfer.read_file(store, place)]
    assert sum(map(len, frames)) == 2500
    assert list(pd.concat(frames).columns) == ["i", "t"]


def test_keys_appear_nowhere(store, s3):
    secrets = s3.environment["AWS_SECRET_ACCESS_KEY"], s3.environment["AWS_SESSION_TOKEN"]
    with pytest.raises(QueryFailed) as caught:
        ask(store, "SELECT * FROM read_parquet('s3://diffusion/nowhere.parquet')")
    shown = ask(store, "SELECT * FROM duckdb_secrets()").to_csv() + str(caught.value)
    assert not any(secret in shown for secret in secrets)


def test_server_that_is_gone_is_an_error(instance, connection, s3, monkeypatch):
    monkeypatch.setenv("AWS_S3_ENDPOINT", "http://127.0.0.1:9")
    instance.refresh({"pg": connection}, needs_s3=True)
    with pytest.raises((QueryFailed, LoginRefused)):
        transfer.upload(instance, chunks_of(connection, "select 1 as a"), "s3://diffusion/gone.parquet")


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
