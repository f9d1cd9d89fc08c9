"""The stage of the attacks: the sandbox, with a database of alice's on a server of these tests.

All is real but the forward: its place is taken by the server's own port, so that any version can be behind it, and a
command costs milliseconds. What a role does is read in the server's log; who may do what, in its catalogue.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import NotFoundException
from psycopg import sql

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.forwards.lease import Lease
from sspcloud_magics.forwards.manager import ForwardManager
from tests.adversary import rights
from tests.support.postgres_servers import Programs, Server, start_server
from tests.testbed import Sandbox

DATABASE = "enquetes"
NAMESPACE = "user-alice"
SCHEMAS = ("public", "enquete")
_TEMPLATE = "template_of_alice"
_PASSWORD = "of-alice"

SETTINGS = {
    "log_statement": "all",
    "log_line_prefix": "%m [%p] %q%u/%a ",
    "max_prepared_transactions": "10",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
}

# Of the superuser's is what PostGIS makes; of the owner's, what is shared and what is not shared with everybody.
_AS_SUPERUSER = """
CREATE TABLE public.spatial_ref_sys (srid int PRIMARY KEY, proj text);
INSERT INTO public.spatial_ref_sys VALUES (1, 'a'), (2154, 'b');
GRANT SELECT ON public.spatial_ref_sys TO PUBLIC;
"""
_AS_OWNER = """
CREATE TABLE public.menages (id serial PRIMARY KEY, revenu numeric, nom text);
INSERT INTO public.menages (revenu, nom) SELECT n * 100, 'ménage ' || n FROM generate_series(1, 5) AS n;
CREATE TABLE public.individus (id serial PRIMARY KEY, menage int REFERENCES public.menages, age int);
INSERT INTO public.individus (menage, age) VALUES (2, 30), (3, 40);
CREATE VIEW public.riches AS SELECT * FROM public.menages WHERE revenu > 200;
CREATE FUNCTION public.nombre(int) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN count(x) FROM (SELECT $1 AS x) AS t; END';
CREATE VIEW public.comptes AS SELECT id, public.nombre(id) AS nombre FROM public.menages;
CREATE SCHEMA enquete;
CREATE TABLE enquete.paies (id int, montant int);
INSERT INTO enquete.paies VALUES (1, 424242);
"""
SECRET = "424242"
"""A value in a table that is not shared with the reader."""

_FOR_EVER = "15s"
_CANARY = re.compile(r"^\S+ \S+ \S+ \[\d+\] \S+ LOG:  canary (\S+) as (\S+) in the session of (\S+)$")


@dataclass(frozen=True, order=True)
class Run:
    """A run of an attack's code: the attack, the user, and the session's user."""

    attack: str
    role: str
    session: str


@dataclass(frozen=True)
class _Way:
    """A stand-in for a forward: the server's own port."""

    local_port: int
    address: str = "127.0.0.1"
    target: str = f"{NAMESPACE}/svc/{DATABASE}"


@dataclass
class Stage:
    """A server with the owner's database, which each attack finds as new."""

    server: Server
    version: int
    kubernetes: client.CoreV1Api
    everybody_creates: bool
    extensions: tuple[str, ...]
    log: Path
    dbname: str = ""
    admin: psycopg.Connection[Any] = field(init=False, repr=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def connect(self, role: str, password: str, dbname: str | None = None) -> psycopg.Connection[Any]:
        """Log in to the server by psycopg alone."""
        options = "-c search_path=pg_catalog" if role == rights.SUPERUSER else ""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.server.port,
            user=role,
            password=password,
            dbname=dbname or self.dbname,
            options=options,
            application_name="stage",
            autocommit=True,
        )

    def as_superuser(self, dbname: str | None = None) -> psycopg.Connection[Any]:
        """Log in as the superuser, with a path of the system's own."""
        return self.connect("postgres", self.server.password, dbname)

    def as_naive_superuser(self) -> psycopg.Connection[Any]:
        """Log in as the superuser, and take the path as the server has it."""
        return psycopg.connect(**self.server.conninfo(dbname=_TEMPLATE))

    def as_owner(self) -> psycopg.Connection[Any]:
        """Log in as alice, by psycopg alone."""
        return self.connect("alice", _PASSWORD)

    def as_colleague(self, person: str, dbname: str | None = None) -> psycopg.Connection[Any]:
        """Log in with what the share's Secret says."""
        try:
            secret = self.kubernetes.read_namespaced_secret(f"{DATABASE}-share-{person}", NAMESPACE).data
        except NotFoundException:
            raise psycopg.OperationalError("there is no share") from None
        return self.connect(*(base64.b64decode(secret[key]).decode() for key in ("user", "password")), dbname)

    @contextlib.contextmanager
    def fresh(self) -> Iterator[None]:
        """Give alice a new database; afterwards, remove it and her colleagues' roles."""
        self.dbname = f"d{next(self._numbers)}"
        with self.as_superuser("postgres") as admin:
            admin.execute(
                f"CREATE DATABASE {self.dbname} TEMPLATE {_TEMPLATE} OWNER alice STRATEGY file_copy"
            )
        self._tell_where()
        self.admin = self.as_superuser()
        try:
            yield
        finally:
            for each in session.open_connections():
                each.close()
            self._clear()

    def _clear(self) -> None:
        for (prepared,) in self.admin.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
            self.admin.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(prepared)))
        self.admin.close()
        with self.as_superuser("postgres") as admin:
            admin.execute(f"DROP DATABASE {self.dbname} WITH (FORCE)")
            roles = admin.execute(
                "SELECT rolname FROM pg_roles WHERE rolname LIKE 'share%' OR rolname = 'sspcloud_archive'"
            ).fetchall()
            for name in (sql.Identifier(role) for (role,) in roles):
                admin.execute(sql.SQL("DROP OWNED BY {}").format(name))
            for name in (sql.Identifier(role) for (role,) in roles):
                admin.execute(sql.SQL("DROP ROLE {}").format(name))

    def rights(self) -> frozenset[rights.Right]:
        """Return all privileges."""
        return rights.read(self.admin)

    def runs(self, since: int = 0) -> list[Run]:
        """Return the runs of a colleague's code since the log had this size."""
        lines = self.read_log(since).splitlines()
        return sorted({Run(*found.groups()) for line in lines if (found := _CANARY.match(line))})

    def read_log(self, since: int = 0) -> str:
        """Return the server's log since it had this size."""
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def end_what_hangs(self) -> None:
        """Limit the time of alice's and her superuser's statements, whose errors then do not name bob."""
        for role in ("postgres", "alice"):
            self.admin.execute(
                f"ALTER ROLE {role} IN DATABASE {self.dbname} SET statement_timeout = '{_FOR_EVER}'"
            )
        for each in session.open_connections():
            each.psycopg.execute(f"SET statement_timeout = '{_FOR_EVER}'")

    def log_size(self) -> int:
        """Return the size of the server's log."""
        return self.log.stat().st_size

    def _tell_where(self) -> None:
        """Write the name of alice's database into the discovery Secret."""
        body = {"data": {"postgres-database": base64.b64encode(self.dbname.encode()).decode()}}
        self.kubernetes.patch_namespaced_secret(f"discoverable-{DATABASE}", NAMESPACE, body)


@contextlib.contextmanager
def open_stage(
    sandbox: Sandbox,
    programs: Programs,
    *,
    everybody_creates: bool = False,
    extensions: tuple[str, ...] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Stage]:
    """Run a server of that version with the owner's template, and let the commands find it on the sandbox.

    Parameters
    ----------
    sandbox
        The practice cluster.
    programs
        Of which version.
    everybody_creates
        Whether PUBLIC may create in ``public``, as before PostgreSQL 15.
    extensions
        What alice has had installed.
    settings
        Further settings of the server.
    """
    api = client.CoreV1Api(config.new_client_from_config(str(sandbox.kubeconfig("alice"))))
    with (
        start_server(programs, {**SETTINGS, **(settings or {})}) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        _make_template(server, everybody_creates=everybody_creates, extensions=extensions)
        _make_release(api, server)
        patch.setattr(ForwardManager, "lease", lambda *_, **__: Lease(_Way(server.port), True, lambda: None))
        ssp.login(kubeconfig=sandbox.kubeconfig("alice"))
        with psycopg.connect(**server.conninfo()) as asked:
            version = asked.info.server_version // 10000
        try:
            yield Stage(server, version, api, everybody_creates, extensions, server.log)
        finally:
            ssp.close()
            _remove_release(api)
            api.api_client.close()


def _make_template(server: Server, *, everybody_creates: bool, extensions: tuple[str, ...]) -> None:
    with psycopg.connect(**server.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE alice LOGIN PASSWORD {}").format(sql.Literal(_PASSWORD)))
        admin.execute(f"CREATE DATABASE {_TEMPLATE} OWNER alice")
    with psycopg.connect(**server.conninfo(dbname=_TEMPLATE), autocommit=True) as admin:
        admin.execute(_AS_SUPERUSER)
        if everybody_creates:
            admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        for extension in extensions:
            admin.execute(f"CREATE EXTENSION {extension} SCHEMA public")
    with psycopg.connect(
        **server.conninfo(dbname=_TEMPLATE, user="alice", password=_PASSWORD), autocommit=True
    ) as owner:
        owner.execute(_AS_OWNER)


def _make_release(api: client.CoreV1Api, server: Server) -> None:
    """Create the objects of the older chart, whose pod has no TLS; the pod's program is never started."""
    labels = {"app.kubernetes.io/instance": DATABASE, "app.kubernetes.io/name": "postgresql"}
    passwords = {"password": _PASSWORD, "postgres-password": server.password}
    discovery = {
        "postgres-service": DATABASE,
        "postgres-username": "alice",
        "password": _PASSWORD,
        "postgres-database": _TEMPLATE,
    }
    objects = (
        (api.create_namespaced_secret, DATABASE, {"stringData": passwords}),
        (
            api.create_namespaced_secret,
            f"discoverable-{DATABASE}",
            {"stringData": discovery, "annotations": {"onyxia/discovery": "postgres"}},
        ),
        (
            api.create_namespaced_service,
            DATABASE,
            {"spec": {"selector": labels, "ports": [{"port": 5432, "name": "tcp-postgresql"}]}},
        ),
        (
            api.create_namespaced_pod,
            f"{DATABASE}-0",
            {
                "spec": {
                    "containers": [
                        {"name": "p", "image": "sspcloud-sandbox/helper", "args": ["echo", "5432"]}
                    ]
                }
            },
        ),
    )
    for create, name, body in objects:
        annotations = body.pop("annotations", {})
        create(NAMESPACE, {"metadata": {"name": name, "labels": labels, "annotations": annotations}, **body})


def _remove_release(api: client.CoreV1Api) -> None:
    for name in (DATABASE, f"discoverable-{DATABASE}"):
        api.delete_namespaced_secret(name, NAMESPACE)
    api.delete_namespaced_service(DATABASE, NAMESPACE)
    api.delete_namespaced_pod(f"{DATABASE}-0", NAMESPACE, grace_period_seconds=0)
