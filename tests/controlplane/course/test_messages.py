"""What only the cluster can tell, as a table: what is wrong, and the sentence that says what to do about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.act.events import EventSink
from controller.act.record import RecordKeeper
from controller.api.names import FINALIZER, TRANSITION_ANNOTATION
from controller.api.presets import LATENCIES, PRESETS
from controller.api.reasons import Reason
from controller.observe.cluster import (
    AUTOSCALERS,
    DEPLOYMENTS,
    HTTP_ROUTES,
    ROLLOUTS,
    SERVICES,
    Cluster,
    Kind,
    NotFound,
)
from controller.observe.workloads import Workloads
from controller.run.key import Key
from controller.run.turn import Ports, Turn
from controller.run.world import WorldReader
from tests.controlplane.course.counters import RATIO, Model
from tests.controlplane.course.scene import Course, condition, merged, rollout_body
from tests.controlplane.objects import (
    Labels,
    Watched,
    backend,
    make_deployment,
    make_http_route,
    make_pod,
    make_service,
)

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]
SERVICE = {"traffic": {"gateway": None, "service": {"name": "{name}"}}}


ERRORS = {"name": "errors", "ratio": RATIO, "margin": {"absolute": "0.02"}}
MEMORY = {"name": "memory", "role": "RedFlag", "threshold": "8000000000"}


@dataclass(frozen=True)
class Case:
    """One mistake in an otherwise whole scene, and what status says about it.

    In all texts ``{name}`` is the rollout's name, ``{v1}`` and ``{v2}`` are its arms.
    """

    mistake: str
    reason: Reason
    sentence: str
    lacks: tuple[tuple[Kind, str], ...] = ()
    """Objects that are not there."""
    rules: tuple[tuple[tuple[str, int], ...], ...] = ((("{v1}", 100), ("{v2}", 0)),)
    """(Service, weight) of each rule of the route."""
    labels: tuple[Labels, Labels] | None = None
    """Labels of the pods of v1 and v2."""
    stranger: Labels | None = None
    """Labels of a pod of neither arm."""
    selector: Labels | None = None
    """Selector of the Service that the clients call, for router ``service``."""
    autoscaled: bool = False
    """A HorizontalPodAutoscaler targets the candidate."""
    requests: float = Model.requests
    """Per second, before the rollout."""
    spec: Json = field(default_factory=dict)
    """Changes to the smallest useful spec."""

    @property
    def name(self) -> str:
        """The rollout's name."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.mistake.lower())


APP_AND_VERSION = ({"app": "{name}", "version": "1"}, {"app": "{name}", "version": "2"})

CASES = (
    Case(
        mistake="stable Deployment missing",
        lacks=((DEPLOYMENTS, "{v1}"),),
        reason=Reason.DEPLOYMENT_MISSING,
        sentence="Deployment {v1}, which is stable, does not exist; create it in this namespace",
    ),
    Case(
        mistake="candidate Deployment missing",
        lacks=((DEPLOYMENTS, "{v2}"),),
        reason=Reason.DEPLOYMENT_MISSING,
        sentence="Deployment {v2}, the candidate, does not exist; create it or remove spec.candidate",
    ),
    Case(
        mistake="stable Service missing",
        lacks=((SERVICES, "{v1}"),),
        reason=Reason.SERVICE_MISSING,
        sentence="Service {v1} for Deployment {v1} is not in namespace {namespace}; create it, or name the right one "
        "in spec.stable.service or spec.candidate.service",
    ),
    Case(
        mistake="candidate Service missing",
        lacks=((SERVICES, "{v2}"),),
        reason=Reason.SERVICE_MISSING,
        sentence="Service {v2} for Deployment {v2} is not in namespace {namespace}; create it, or name the right one "
        "in spec.stable.service or spec.candidate.service",
    ),
    Case(
        mistake="HTTPRoute missing",
        lacks=((HTTP_ROUTES, "{name}"),),
        reason=Reason.ROUTE_MISSING,
        sentence="HTTPRoute {name} is not in namespace {namespace}; create it, or correct "
        "spec.traffic.gateway.httpRoute",
    ),
    Case(
        mistake="route without the candidate",
        rules=((("{v1}", 100),),),
        reason=Reason.BACKEND_MISSING,
        sentence="rules[0] of HTTPRoute {name} does not lead to Service {v2}; add to its backendRefs: "
        "- {name: {v2}, port: 80, weight: 0}",
    ),
    Case(
        mistake="route without stable",
        rules=((("{v2}", 100),),),
        reason=Reason.BACKEND_MISSING,
        sentence="rules[0] of HTTPRoute {name} does not lead to Service {v1}; add to its backendRefs: "
        "- {name: {v1}, port: 80, weight: 100}",
    ),
    Case(
        mistake="two rules hold both",
        rules=((("{v1}", 100), ("{v2}", 0)), (("{v1}", 100), ("{v2}", 0))),
        reason=Reason.RULE_AMBIGUOUS,
        sentence="HTTPRoute {name} holds both Services in 2 rules (rules[0], rules[1]); name the one to steer in "
        "spec.traffic.gateway.sectionName",
    ),
    Case(
        mistake="a Service twice in the rule",
        rules=((("{v1}", 50), ("{v1}", 50), ("{v2}", 0)),),
        reason=Reason.RULE_AMBIGUOUS,
        sentence="rules[0] of HTTPRoute {name} names Service {v1} more than once; keep one entry, or its weight means "
        "nothing",
    ),
    Case(
        mistake="no rule of that name",
        spec={"traffic": {"gateway": {"sectionName": "predict"}}},
        reason=Reason.BACKEND_MISSING,
        sentence="HTTPRoute {name} has no rule named predict; correct spec.traffic.gateway.sectionName",
    ),
    Case(
        mistake="route disagrees",
        rules=((("{v1}", 60), ("{v2}", 40)),),
        reason=Reason.ROUTE_DISAGREES,
        sentence="HTTPRoute {name} sends requests to {v1}, {v2}, but stable is {v1}; make the route send all requests "
        "to {v1}, or set spec.stable.deployment to what serves",
    ),
    Case(
        mistake="route serves a stranger",
        rules=((("{v1}", 100), ("{v2}", 0), ("canary", 5)),),
        reason=Reason.ROUTE_DISAGREES,
        sentence="HTTPRoute {name} sends requests to {v1}, Service/canary, but stable is {v1}; make the route send all "
        "requests to {v1}, or set spec.stable.deployment to what serves",
    ),
    Case(
        mistake="called Service missing",
        spec=SERVICE,
        labels=APP_AND_VERSION,
        reason=Reason.ROUTE_MISSING,
        sentence="Service {name} is not in namespace {namespace}; create it, or correct spec.traffic.service.name",
    ),
    Case(
        mistake="called Service without selector",
        spec=SERVICE,
        labels=APP_AND_VERSION,
        selector={},
        reason=Reason.BACKEND_MISSING,
        sentence="Service {name} has no selector; add spec.selector with the labels of Deployment {v1}",
    ),
    Case(
        mistake="no common label",
        spec=SERVICE,
        labels=({"app": "{v1}"}, {"app": "{v2}"}),
        selector={"app": "{v1}"},
        reason=Reason.NO_COMMON_LABEL,
        sentence="the pods of Deployments {v1} and {v2} share no label, so that no selector picks both; add to "
        'spec.template.metadata.labels of both: modelrollout.dev/service: "{v1}"',
    ),
    Case(
        mistake="no distinct label",
        spec=SERVICE,
        labels=({"app": "{name}"}, {"app": "{name}"}),
        selector={"app": "{name}"},
        reason=Reason.NO_DISTINCT_LABEL,
        sentence="no selector picks the pods of Deployment {v1} without those of {v2}; add to "
        'spec.template.metadata.labels of {v1}: modelrollout.dev/deployment: "{v1}"',
    ),
    Case(
        mistake="selector too wide",
        spec=SERVICE,
        labels=APP_AND_VERSION,
        selector={"app": "{name}", "version": "1"},
        stranger={"app": "{name}"},
        reason=Reason.SELECTOR_TOO_WIDE,
        sentence="the labels that both Deployments share (app={name}) are also on Pod/{name}-stranger; those pods "
        "would get requests. Give the two Deployments a label of their own, or remove these pods",
    ),
    Case(
        mistake="called Service picks both",
        spec=SERVICE,
        labels=APP_AND_VERSION,
        selector={"app": "{name}"},
        reason=Reason.ROUTE_DISAGREES,
        sentence="Service {name} sends requests to {v1}, {v2}, but stable is {v1}; make the route send all requests to "
        "{v1}, or set spec.stable.deployment to what serves",
    ),
    Case(
        mistake="autoscaled candidate",
        autoscaled=True,
        spec={"candidate": {"scale": "ByWeight"}},
        reason=Reason.CANDIDATE_AUTOSCALED,
        sentence="HorizontalPodAutoscaler/{name} scales Deployment {v2}, so the operator must not; remove it or set "
        "spec.candidate.scale to ByUser",
    ),
    Case(
        mistake="unknown preset",
        spec={"analysis": {"metrics": [{"name": "errors", "preset": "mlservr/errors"}]}},
        reason=Reason.UNKNOWN_PRESET,
        sentence="metric errors: preset mlservr/errors is not known; known are "
        + ", ".join(sorted([*PRESETS, *LATENCIES])),
    ),
    Case(
        mistake="unknown Prometheus",
        spec={"analysis": {"prometheus": {"name": "elsewhere"}}},
        reason=Reason.UNKNOWN_PROMETHEUS,
        sentence="analysis.prometheus.name elsewhere is not in the operator's configuration; known are: default, slow",
    ),
    Case(
        mistake="interval shorter than two scrapes",
        spec={"analysis": {"prometheus": {"name": "slow"}}, "strategy": {"interval": "20s"}},
        reason=Reason.INTERVAL_TOO_SHORT,
        sentence="strategy.interval 20s must be at least two scrapes of Prometheus server slow (30s)",
    ),
    Case(
        mistake="query that the operator does not allow",
        spec={"analysis": {"metrics": [ERRORS, {**MEMORY, "query": "max(memory{{{selector}}})"}]}},
        reason=Reason.QUERY_NOT_ALLOWED,
        sentence="metrics of kind query need allowQueries: true for the Prometheus server default in the operator's "
        "configuration; ask who runs the operator, or use counters",
    ),
    Case(
        mistake="query that selects other series",
        spec={
            "analysis": {
                "prometheus": {"name": "slow"},
                "metrics": [ERRORS, {**MEMORY, "query": "max(memory{{{selector}}}) + secret"}],
            }
        },
        reason=Reason.QUERY_INVALID,
        sentence="metric memory: the query must hold {{selector}} in each selector; secret at character 29 has none: "
        "write secret{{{selector}}}",
    ),
    Case(
        mistake="relative margin without history",
        requests=0,
        spec={
            "analysis": {"metrics": [{"name": "errors", "ratio": RATIO, "margin": {"relative": "0.5"}}]},
            "strategy": {"interval": "2s", "minWindows": 1000},
        },
        reason=Reason.MARGIN_NOT_RESOLVABLE,
        sentence="metric errors: margin.relative needs at least 100 requests of stable before the epoch, found 0; "
        "wait for traffic or add margin.absolute",
    ),
)


def filled(value: Any, names: Mapping[str, str]) -> Any:
    """Return the value with the names of its case in all its texts."""
    if isinstance(value, str):
        for token, name in names.items():
            value = value.replace(f"{{{token}}}", name)
        return value
    if isinstance(value, Mapping):
        return {key: filled(each, names) for key, each in value.items()}
    return [filled(each, names) for each in value] if isinstance(value, list | tuple) else value


def names_of(case: Case, namespace: str = "") -> dict[str, str]:
    return {"name": case.name, "v1": f"{case.name}-v1", "v2": f"{case.name}-v2", "namespace": namespace}


def arrange(course: Course, case: Case) -> None:
    """Create everything but the rollout."""
    names, cluster, namespace = names_of(case), course.cluster, course.namespace
    labels = filled(case.labels or ({"app": "{v1}"}, {"app": "{v2}"}), names)
    for version, own in enumerate(labels, start=1):
        course.arm(f"{case.name}-v{version}", model=Model(requests=case.requests), labels=own)
    if case.spec != SERVICE:
        rules = [[backend(filled(service, names), weight) for service, weight in rule] for rule in case.rules]
        make_http_route(cluster, namespace, *rules, route=case.name)
    if case.selector is not None:
        make_service(cluster, namespace, case.name, selector=filled(case.selector, names))
    if case.stranger:
        make_pod(cluster, namespace, f"{case.name}-stranger", labels=filled(case.stranger, names), deployment=None)
    if case.autoscaled:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": names["v2"]}
        scaling = {"scaleTargetRef": target, "maxReplicas": 3}
        cluster.create(AUTOSCALERS, namespace, {"metadata": {"name": case.name}, "spec": scaling})
    for kind, name in case.lacks:
        course.delete(kind, filled(name, names))


CLAIM = {
    "stable": {"deployment": "claimed-v1"},
    "candidate": {"deployment": "claimed-v2"},
    "traffic": {"gateway": {"httpRoute": "claimed"}},
}


@pytest.fixture(scope="module")
def versions(course: Course) -> dict[str, str]:
    """All cases at once; return the versions of routes and Services before any rollout was there."""
    course.stage("claimed")
    course.roll_out("claimed")
    course.roll_out("claimed-later", CLAIM)
    for case in CASES:
        arrange(course, case)
    before = steering(course)
    for case in CASES:
        course.roll_out(case.name, filled(case.spec, names_of(case)))
    course.operator.start()
    return before


def steering(course: Course) -> dict[str, str]:
    """Return the version of everything that steers traffic."""
    things = [thing for kind in (HTTP_ROUTES, SERVICES) for thing in course.cluster.list(kind, course.namespace)]
    metadata = [thing["metadata"] for thing in things if thing["metadata"]["name"] != "claimed"]
    return {each["uid"]: each["resourceVersion"] for each in metadata}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mistake)
def test_mistake_has_its_sentence(course: Course, versions: dict[str, str], case: Case) -> None:
    del versions
    status = course.until(case.name, lambda status: condition(status, "Stalled").get("status") == "True")
    sentence = filled(case.sentence, names_of(case, course.namespace))
    assert (status["reason"], status["message"]) == (case.reason, sentence)
    assert condition(status, "Stalled")["message"] == sentence
    assert condition(status, "Ready")["status"] == condition(status, "Reconciling")["status"] == "False"
    if case.reason is not Reason.ROUTE_DISAGREES:
        accepted = condition(status, "SpecAccepted")
        assert (accepted["status"], accepted["reason"], accepted["message"]) == ("False", case.reason, sentence)


def test_traffic_stays_as_it_was(course: Course, versions: dict[str, str]) -> None:
    for case in CASES:
        status = course.until(case.name, lambda status: condition(status, "Stalled").get("status") == "True")
        assert status["transition"] == 0
        assert not course.finalized(case.name)
    assert steering(course) == versions


def deploy_candidate(course: Course, name: str) -> None:
    make_deployment(course.cluster, course.namespace, f"{name}-v2", labels={"app": f"{name}-v2"})


def create_route(course: Course, name: str) -> None:
    make_http_route(
        course.cluster, course.namespace, [backend(f"{name}-v1", 100), backend(f"{name}-v2", 0)], route=name
    )


def set_the_route_right(course: Course, name: str) -> None:
    entries = [backend(f"{name}-v1", 100), backend(f"{name}-v2", 0)]
    course.change(HTTP_ROUTES, name, {"spec": {"rules": [{"backendRefs": entries}]}})


def send_requests(course: Course, name: str) -> None:
    for version in ("v1", "v2"):
        course.traffic.models[f"{name}-{version}"] = Model()


MENDED: tuple[tuple[str, Callable[[Course, str], None]], ...] = (
    ("candidate Deployment missing", deploy_candidate),
    ("HTTPRoute missing", create_route),
    ("route disagrees", set_the_route_right),
    ("relative margin without history", send_requests),
)


@pytest.mark.parametrize(("mistake", "mend"), MENDED, ids=[mistake for mistake, _ in MENDED])
def test_mistake_that_is_mended_is_forgotten(
    course: Course, versions: dict[str, str], mistake: str, mend: Callable[[Course, str], None]
) -> None:
    del versions
    (name,) = (case.name for case in CASES if case.mistake == mistake)
    course.until(name, lambda status: condition(status, "Stalled").get("status") == "True")
    mend(course, name)
    status = course.until_serving(name)
    assert condition(status, "SpecAccepted")["status"] == "True"
    assert condition(status, "Stalled")["status"] == "False"


def test_second_rollout_on_a_route_waits_until_the_first_is_gone(course: Course, versions: dict[str, str]) -> None:
    del versions
    course.until_serving("claimed")
    status = course.until("claimed-later", lambda status: condition(status, "Stalled").get("status") == "True")
    refusal = "ModelRollout claimed already steers HTTPRoute claimed; delete one of the two, or give each its own route"
    accepted = condition(status, "SpecAccepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == ("False", "RouteClaimed", refusal)
    assert status["message"] == refusal
    assert course.seen_weights("claimed") == [0, 25]

    course.delete(ROLLOUTS, "claimed")
    course.until_gone("claimed")
    status = course.until_serving("claimed-later")
    assert condition(status, "SpecAccepted")["status"] == "True"
    assert course.seen_weights("claimed") == [0, 25, 0, 25]


HELD = {"name": "old", "finalizers": [FINALIZER]}


class Older(Watched):
    """The API server as it was when its definition of ModelRollout allowed more than today's."""

    def get(self, kind: Kind, namespace: str, name: str, *, subresource: str = "") -> Json:
        found = super().get(kind, namespace, name, subresource=subresource)
        return found | {"spec": merged(found["spec"], {"strategy": {"steps": [50, 10]}})} if kind == ROLLOUTS else found


@pytest.fixture
def old_turn(cluster: Cluster) -> tuple[Turn, Older]:
    """A turn that reads what admission no longer allows; without any Prometheus."""
    port = Older(cluster)
    ports = Ports(
        cluster=port,
        reader=WorldReader(port, Workloads(port), servers=frozenset({"default"})),
        sources={},
        records=RecordKeeper(port),
        events=EventSink(port),
        clock=lambda: datetime.now(UTC),
    )
    return Turn(ports), port


def test_spec_that_admission_did_not_see_is_refused_in_words(
    cluster: Cluster, namespace: str, old_turn: tuple[Turn, Older]
) -> None:
    turn, port = old_turn
    cluster.create(ROLLOUTS, namespace, rollout_body("old", {}))
    assert turn(Key(namespace, "old")) is None
    status = cluster.get(ROLLOUTS, namespace, "old")["status"]
    sentence = "spec.strategy: steps must ascend, for example [5, 10, 25, 50]"
    assert status["message"] == sentence
    for kind, answer in (("SpecAccepted", "False"), ("Stalled", "True"), ("Ready", "False")):
        found = condition(status, kind)
        assert (found["status"], found["reason"], found["message"]) == (answer, "InvalidSpec", sentence)
    assert turn(Key(namespace, "old")) is None
    assert port.writes == ["modelrollouts/old/status"]


def test_spec_that_cannot_be_read_holds_no_deletion_up(
    cluster: Cluster, namespace: str, old_turn: tuple[Turn, Older]
) -> None:
    turn, _ = old_turn
    for version in ("v1", "v2"):
        make_deployment(cluster, namespace, f"old-{version}", labels={"app": f"old-{version}"})
        make_service(cluster, namespace, f"old-{version}")
    make_http_route(cluster, namespace, [backend("old-v1", 75), backend("old-v2", 25)], route="old")
    created = cluster.create(ROLLOUTS, namespace, rollout_body("old", {}) | {"metadata": HELD})
    revisions = {
        arm: {"deployment": f"old-{version}", "service": f"old-{version}", "hash": "1"}
        for arm, version in (("stable", "v1"), ("candidate", "v2"))
    }
    serving = {"phase": "Progressing", "transition": 1, "traffic": {"desiredWeight": 25, "appliedWeight": 25}}
    cluster.merge_patch(ROLLOUTS, namespace, "old", {"status": serving | revisions}, subresource="status")
    cluster.delete(ROLLOUTS, namespace, "old")
    for _ in range(3):
        turn(Key(namespace, "old"))
    with pytest.raises(NotFound):
        cluster.get(ROLLOUTS, namespace, "old")
    route = cluster.get(HTTP_ROUTES, namespace, "old")
    assert route["metadata"]["annotations"][TRANSITION_ANNOTATION] == f"{created['metadata']['uid']}/2"
    assert [entry["weight"] for entry in route["spec"]["rules"][0]["backendRefs"]] == [100, 0]
