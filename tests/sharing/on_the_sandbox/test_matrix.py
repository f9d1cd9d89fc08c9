"""Owners and colleagues on laptops and in notebooks, by each route: it works, or names the missing permission."""

from urllib.parse import quote

import pytest

import sspcloud_magics as ssp
from sspcloud_magics.errors import CredentialsNotFound, DatabaseUnavailable, Forbidden, SspcloudError
from sspcloud_magics.session import session
from tests.sharing.on_the_sandbox import notebook
from tests.support.database import DATABASE
from tests.support.shares import nothing_shared

pytestmark = pytest.mark.slow

PATH = f"user-alice/{DATABASE}"
HOST = f"{DATABASE}-rw.user-alice.svc.cluster.local"


def relaunch_with(role):
    return f"kubernetes.role={quote(f'«{role}»')}"


@pytest.fixture(scope="module")
def be(sandbox, tmp_path_factory):
    """A function that logs in as a user: on a laptop, or in a notebook with a role."""
    clusters = {}

    def be(person, role=None):
        if (person, role) not in clusters and role is not None:
            mount = tmp_path_factory.mktemp(f"{person}-{role}")
            clusters[person, role] = notebook.identity(sandbox, f"user-{person}", role, mount)
        if role is None:
            ssp.login(kubeconfig=sandbox.kubeconfig(person))
        else:
            session.set_cluster(clusters[person, role])

    yield be
    ssp.close()
    for cluster in clusters.values():
        cluster.close()


@pytest.fixture(scope="module", params=[None, "view", "edit", "admin"], ids=lambda role: role or "laptop")
def owner(request, be):
    """Alice's role on a laptop or in a notebook, and the result of her share."""
    with nothing_shared(lambda: be("alice")):
        be("alice", request.param)
        try:
            refused = None
            ssp.share_db(DATABASE, "bob", via="network")
        except SspcloudError as error:
            refused = error
        yield request.param, refused


@pytest.fixture(scope="module")
def in_network(sandbox):
    with notebook.place_in_network(sandbox, "user-bob", HOST):
        yield


@pytest.fixture(params=[None, "edit"], ids=["on-a-laptop", "in-a-notebook"])
def bob(request, be):
    be("bob", request.param)
    if request.param is None:
        yield request.param
    else:
        request.getfixturevalue("in_network")
        with notebook.cluster_names(HOST):
            yield request.param
    for connection in session.session.connections:
        connection.close()
    session.session.connections.clear()


@pytest.mark.parametrize("route", ["forward", "direct", "relay"])
def test_matrix(owner, bob, route):
    role, refused = owner
    if role in ("view", "edit"):
        assert isinstance(refused, Forbidden)
        assert refused.what.startswith("You may not create roles")
        assert relaunch_with("admin") in refused.hint
        with pytest.raises(CredentialsNotFound) as nothing:
            ssp.connect_db(PATH, route=route)
        assert f"%share_db {DATABASE} --with bob" in nothing.value.hint
        return
    assert refused is None
    if route == "direct" and bob is None:
        with pytest.raises(DatabaseUnavailable, match="outside the cluster") as outside:
            ssp.connect_db(PATH, route=route)
        assert f"%connect_db {PATH}   finds another route" in outside.value.hint
        return
    connection = ssp.connect_db(PATH, route=route)
    assert (connection.route.name, connection.user) == (route, "share_bob")
    assert "the server's certificate verified" in connection.protection
    assert ssp.query_db("SELECT count(*) AS n FROM regions")["n"][0] == 13


@pytest.fixture
def shared_by_forward_only(be, sandbox):
    """A share whose owner's network policy blocks all other namespaces."""
    with nothing_shared(lambda: be("alice")):
        notebook.isolate(sandbox, "user-alice", DATABASE)
        ssp.share_db(DATABASE, "bob")
        yield
        notebook.open_again(sandbox, "user-alice")


def test_closed_network_takes_the_forward_and_says_why(be, bob, shared_by_forward_only):
    be("bob", bob)
    assert ssp.connect_db(PATH).route.name == "forward"
    closed = "outside the cluster" if bob is None else "a network policy blocks this machine"
    with pytest.raises(DatabaseUnavailable) as direct:
        ssp.connect_db(PATH, route="direct")
    assert closed in direct.value.why
    with pytest.raises(DatabaseUnavailable, match="A relay in user-bob does not reach") as relay:
        ssp.connect_db(PATH, route="relay", timeout=2)
    assert "a network policy blocks the relay" in relay.value.why
    opens = f"%share_db {DATABASE} --with bob --via network"
    assert opens in relay.value.hint
    assert (opens if bob else f"%connect_db {PATH}") in direct.value.hint


def test_viewing_notebook_joins_without_a_relay(be, sandbox):
    with nothing_shared(lambda: be("alice")):
        ssp.share_db(DATABASE, "bob", via="network")
        be("bob", "view")
        assert ssp.connect_db(PATH).route.name == "forward"
        with pytest.raises(Forbidden) as refused:
            ssp.connect_db(PATH, route="relay")
        assert relaunch_with("edit") in refused.value.hint
