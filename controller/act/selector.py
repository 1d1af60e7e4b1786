"""Which pods a Service's selector picks, and which selector picks the pods of one arm or of both. Pure."""

from controller.act.route import RouteProblem
from controller.api.names import GROUP
from controller.api.reasons import Reason
from controller.observe.cluster import Json
from controller.plan.world import Problem

Labels = dict[str, str]


def pod_labels(deployment: Json) -> Labels:
    """Return the labels of the pods that the Deployment makes."""
    labels: Labels = deployment["spec"]["template"].get("metadata", {}).get("labels") or {}
    return labels


def picks(selector: Labels, labels: Labels) -> bool:
    """Whether a Service with this selector sends requests to pods with these labels; an empty one picks none."""
    return bool(selector) and selector.items() <= labels.items()


def narrow(deployment: Json, other: Json | None) -> Labels:
    """Return the selector of one Deployment's pods: what the Deployment itself selects by.

    Where that would pick the other arm's pods, too, the labels that tell them apart are added.
    """
    own = pod_labels(deployment)
    selector: Labels = deployment["spec"]["selector"].get("matchLabels") or own
    if other is None or not picks(selector, pod_labels(other)):
        return selector
    return selector | {key: value for key, value in own.items() if pod_labels(other).get(key) != value}


def wide(stable: Json, candidate: Json) -> Labels:
    """Return the selector of both Deployments' pods: the labels that they share.

    Raises:
        RouteProblem: they share none, or no selector can pick one of them alone, so that there is no way back.
    """
    shared = dict(pod_labels(stable).items() & pod_labels(candidate).items())
    names = tuple(each["metadata"]["name"] for each in (stable, candidate))
    if not shared:
        message = (
            f"the pods of Deployments {names[0]} and {names[1]} share no label, so that no selector picks both; add to "
            f'spec.template.metadata.labels of both: {GROUP}/service: "{names[0]}"'
        )
        raise RouteProblem(Problem(Reason.NO_COMMON_LABEL, message))
    for one, other in ((stable, candidate), (candidate, stable)):
        if picks(narrow(one, other), pod_labels(other)):
            name = one["metadata"]["name"]
            message = (
                f"no selector picks the pods of Deployment {name} without those of {other['metadata']['name']}; add to "
                f'spec.template.metadata.labels of {name}: {GROUP}/deployment: "{name}"'
            )
            raise RouteProblem(Problem(Reason.NO_DISTINCT_LABEL, message))
    return shared


def label_query(selector: Labels) -> str:
    """Return the selector as the API server's lists take it."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
