"""A share of a service gives a colleague what it says: one forward by name or one port, until its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

import sspcloud_magics as ssp
from sspcloud_magics import session
from sspcloud_magics.errors import Forbidden, TargetNotFound, UsageProblem
from tests.support.waiting import wait_until
from tests.testbed import Sandbox

ALICE = "user-alice"
LABELS = {"app": "page"}


def become(practice: Sandbox, person: str) -> client.ApiClient:
    """Make the session a person's, and return their API client."""
    kubeconfig = str(practice.kubeconfig(person))
    session.login(kubeconfig=kubeconfig)
    return config.new_client_from_config(kubeconfig)


def list_rules(api: client.ApiClient) -> set[str]:
    """Return all that a person may do in alice's namespace, as comparable texts."""
    review = client.V1SelfSubjectRulesReview(spec=client.V1SelfSubjectRulesReviewSpec(namespace=ALICE))
    status = client.AuthorizationV1Api(api).create_self_subject_rules_review(review).status
    return {
        f"{verb} {resource} {name}"
        for rule in status.resource_rules
        for verb in rule.verbs
        for resource in rule.resources
        for name in rule.resource_names or ["*"]
    }


@pytest.fixture(scope="module")
def page(practice: Sandbox) -> Iterator[None]:
    """Alice's page: a pod of a fixed name, its service, and a policy that closes it to other namespaces."""
    api = become(practice, "alice")
    pods = client.CoreV1Api(api)
    network = client.NetworkingV1Api(api)
    port = client.V1ContainerPort(name="http", container_port=8000)
    container = client.V1Container(name="page", image="ghcr.io/ensai/mon-api:1.0", ports=[port])
    metadata = client.V1ObjectMeta(name="page", labels=LABELS)
    pods.create_namespaced_pod(
        ALICE, client.V1Pod(metadata=metadata, spec=client.V1PodSpec(containers=[container]))
    )
    spec = client.V1ServiceSpec(selector=LABELS, ports=[client.V1ServicePort(port=80, target_port="http")])
    pods.create_namespaced_service(ALICE, client.V1Service(metadata=metadata, spec=spec))
    closed = client.V1NetworkPolicySpec(
        pod_selector=client.V1LabelSelector(match_labels=LABELS),
        ingress=[client.V1NetworkPolicyIngressRule(_from=[client.V1NetworkPolicyPeer(pod_selector={})])],
    )
    network.create_namespaced_network_policy(ALICE, client.V1NetworkPolicy(metadata=metadata, spec=closed))
    yield
    session.close()
    pods.delete_namespaced_pod("page", ALICE)
    pods.delete_namespaced_service("page", ALICE)
    network.delete_namespaced_network_policy("page", ALICE)


@pytest.mark.parametrize("via", ["network", "forward"])
def test_rights_are_exactly_those_of_the_share(practice: Sandbox, page: None, via: str) -> None:
    before = list_rules(become(practice, "bob"))
    carols = list_rules(become(practice, "carol"))
    become(practice, "alice")
    ssp.share("svc/page", "bob", via=via)
    meant = {
        "network": set(),
        "forward": {
            *(f"{verb} endpoints page" for verb in ("get", "list", "watch")),
            *(f"{verb} pods/portforward page" for verb in ("get", "create")),
        },
    }[via]
    assert list_rules(become(practice, "bob")) - before == meant
    assert list_rules(become(practice, "carol")) == carols
    become(practice, "alice")
    ssp.unshare("svc/page", "bob")
    bob = become(practice, "bob")
    wait_until(lambda: list_rules(bob) == before)


def test_change_of_access_takes_the_other_back(practice: Sandbox, page: None) -> None:
    become(practice, "alice")
    ssp.share("svc/page", "bob", via="forward")
    ssp.share("svc/page", "bob", via="network")
    bob = become(practice, "bob")
    assert not [rule for rule in list_rules(bob) if rule.endswith(" page")]
    become(practice, "alice")
    ssp.share("svc/page", "bob", via="forward")
    with pytest.raises(ApiException, match="404"):
        client.NetworkingV1Api(become(practice, "alice")).read_namespaced_network_policy(
            "svc-page-share-bob", ALICE
        )
    ssp.unshare("svc/page", all_colleagues=True)


def test_colleague_reaches_one_service_only(practice: Sandbox, page: None) -> None:
    """Bob's relay reaches the shared port, and neither another port nor what the share does not name."""
    become(practice, "alice")
    ssp.share("svc/page", "bob")
    become(practice, "bob")
    opened = ssp.forward("user-alice/svc/page", ":80")
    opened.stop()
    for target, port in (("user-alice/svc/page", ":8000"), ("user-alice/svc/nothing", ":80")):
        with pytest.raises(Forbidden):
            ssp.forward(target, port)
    with pytest.raises(Forbidden):
        ssp.forward("user-alice/pod/page", ":8000")
    become(practice, "carol")
    with pytest.raises(Forbidden):
        ssp.forward("user-alice/svc/page", ":80")
    become(practice, "alice")
    ssp.unshare("svc/page", all_colleagues=True)


def test_names_cannot_widen_a_share(practice: Sandbox, page: None) -> None:
    become(practice, "alice")
    for name in ("*", "", "system:authenticated", "../x", "bob: []", "oidc-bob"):
        with pytest.raises(UsageProblem):
            ssp.share("svc/page", [name])
    with pytest.raises((UsageProblem, TargetNotFound)):
        ssp.share("svc/*", "bob")
