"""A namespace with an operator of its own for each module of tests."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from controller.observe.cluster import Cluster
from tests.cluster.layout import Layout
from tests.controlplane.conftest import Kubectl
from tests.controlplane.course.counters import Counters, Traffic
from tests.controlplane.course.scene import Course, Operator, settings_for
from tests.controlplane.watching import Watching


@pytest.fixture(scope="module")
def servers() -> tuple[str, ...]:
    """Names of the Prometheus servers that the operator knows; modules may have more."""
    return ("default",)


@pytest.fixture(scope="module")
def course(
    control_plane: Layout,
    cluster: Cluster,
    fresh_namespace: Callable[[], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
    servers: tuple[str, ...],
) -> Iterator[Course]:
    """An empty course; its operator is not started yet. A turn that failed is a defect, whatever else was seen."""
    with ExitStack() as stack:
        namespace = stack.enter_context(fresh_namespace())
        watched = {kind: Watching(control_plane.kubeconfig, namespace, kind) for kind in ("httproutes", "mro")}
        for watching in watched.values():
            stack.callback(watching.stop)
        traffic = Traffic(namespace, watched["httproutes"])
        counters = {name: Counters(traffic) for name in servers}
        folder = tmp_path_factory.mktemp("operator")
        settings = settings_for(namespace, {name: each.url for name, each in counters.items()})
        course = Course(
            namespace=namespace,
            cluster=cluster,
            kubectl=Kubectl(control_plane, namespace),
            traffic=traffic,
            rollouts=watched["mro"],
            routes=watched["httproutes"],
            counters=counters,
            operator=Operator(folder, control_plane.kubeconfig, settings),
        )
        stack.callback(course.end_counters)
        stack.callback(course.operator.stop)
        yield course
    log = course.operator.log.read_text()
    assert "The turn failed" not in log, log
