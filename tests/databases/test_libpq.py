"""Every parameter that libpq could look up elsewhere is given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg import pq

from sspcloud_magics.databases.postgres import libpq
from sspcloud_magics.databases.postgres.libpq import Tls, parameters

# No value is needed: libpq looks up a service only if a variable names one, and the variable is removed during the login.
NOT_GIVEN = {"service"}


@pytest.mark.parametrize("tls", list(Tls))
def test_nothing_with_a_variable_is_left_to_libpq(login, tls):
    given = parameters(login, tls=tls)
    looked_up = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    assert looked_up - set(given) == NOT_GIVEN


def test_the_password_is_in_nothing_that_is_shown(login):
    assert login.password.reveal() not in repr(login)


def test_tls_that_can_be_verified_is(login, tmp_path):
    given = parameters(login, tls=Tls.VERIFIED, ca_file=tmp_path / "ca.crt")
    assert given["sslmode"] == "verify-full"
    assert given["host"] == "db-rw.user-alice.svc"
    assert given["hostaddr"] == "127.0.0.1"
    assert parameters(login, tls=Tls.UNVERIFIED)["sslmode"] == "require"


def test_server_without_tls_is_refused_where_required(login):
    with pytest.raises(Exception, match="does not support SSL"):
        libpq.log_in(replace(login, ca="-----BEGIN CERTIFICATE-----"))
