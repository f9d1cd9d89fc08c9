from __future__ import annotations

import pytest

from sspcloud_magics.cluster.api.resources import DEPLOYMENTS, NAMESPACES, PODS
from sspcloud_magics.cluster.cluster import Cluster
from sspcloud_magics.cluster.requests.permissions import Identity, may, strongest_role, who_am_i
from sspcloud_magics.errors import Forbidden
from tests.support.api_server import ApiServer, Asked, status

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def test_the_server_says_who_one_is(api: ApiServer, cluster: Cluster) -> None:
    api.answers[REVIEW] = {
        "status": {"userInfo": {"username": "oidc-bob", "groups": ["oidc-x", "system:authenticated"]}}
    }
    me = who_am_i(cluster)
    assert (me.user, me.groups, me.namespace) == ("oidc-bob", ("oidc-x", "system:authenticated"), "user-bob")
    assert (api.asked[0].method, api.asked[0].body["kind"]) == ("POST", "SelfSubjectReview")


def test_an_old_server_does_not_tell(cluster: Cluster) -> None:
    assert who_am_i(cluster).user == ""


def test_refused_review_does_not_tell(api: ApiServer, cluster: Cluster) -> None:
    # An old one as well: it looks at rights before it looks whether there is such a thing.
    words = 'selfsubjectreviews.authentication.k8s.io is forbidden: User "bob" cannot create resource'
    api.answers[REVIEW] = status(403, words)
    assert who_am_i(cluster).user == ""


def test_a_proxy_that_refuses_everything_is_no_answer(api: ApiServer, cluster: Cluster) -> None:
    api.answers[REVIEW] = (403, "text/plain", b"RBAC: access denied")
    with pytest.raises(Forbidden, match="access denied"):
        who_am_i(cluster)


def test_missing_user_is_not_an_empty_name(api: ApiServer, cluster: Cluster) -> None:
    words = 'selfsubjectreviews.authentication.k8s.io is forbidden: User "system:anonymous" cannot create resource'
    api.answers[REVIEW] = status(403, words)
    with pytest.raises(Forbidden, match="does not know who you are"):
        who_am_i(cluster)


def test_identity_escapes_what_it_shows() -> None:
    me = Identity("<b>bob</b>", ("g",), "user-bob", "https://s", "context x")
    assert "User       <b>bob</b>" in str(me)
    html = me._repr_html_()
    assert "&lt;b&gt;bob" in html
    assert "<b>" not in html


def test_a_right_is_asked_for_as_the_server_wants_it(api: ApiServer, cluster: Cluster) -> None:
    api.answers[ACCESS] = lambda asked: {
        "status": {"allowed": asked.body["spec"]["resourceAttributes"]["verb"] == "get"}
    }
    assert may(cluster, "get", PODS, "user-alice", name="db-1", subresource="portforward")
    assert not may(cluster, "list", DEPLOYMENTS)
    may(cluster, "list", PODS, "*")
    may(cluster, "get", NAMESPACES, name="x")
    wanted = [asked.body["spec"]["resourceAttributes"] for asked in api.asked]
    assert wanted[0] == {
        "verb": "get",
        "group": "",
        "resource": "pods",
        "subresource": "portforward",
        "name": "db-1",
        "namespace": "user-alice",
    }
    assert (wanted[1]["group"], wanted[1]["namespace"]) == ("apps", "user-bob")
    assert "namespace" not in wanted[2]
    assert "namespace" not in wanted[3]


@pytest.mark.parametrize(
    ("held", "role"),
    [
        ({"roles", "pods/portforward", "pods"}, "admin"),
        ({"pods/portforward", "pods"}, "edit"),
        ({"pods"}, "view"),
        (set(), "none"),
    ],
)
def test_the_role_is_the_strongest_whose_right_is_held(
    api: ApiServer, cluster: Cluster, held: set[str], role: str
) -> None:
    def answer(asked: Asked) -> object:
        wanted = asked.body["spec"]["resourceAttributes"]
        name = "/".join(part for part in (wanted["resource"], wanted["subresource"]) if part)
        return {"status": {"allowed": name in held}}

    api.answers[ACCESS] = answer
    assert strongest_role(cluster) == role
