"""The real servers as fixtures: each starts when a test first needs it and ends with the tests."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.verify.servers import catalogue
from tests.verify.servers.process import RunningServer
from tests.verify.servers.served import SERVED, Served
from tests.verify.servers.tracking import tracking_server


@pytest.fixture(scope="session")
def kserve_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with catalogue.kserve(tmp_path_factory.mktemp("kserve")) as server:
        yield server


@pytest.fixture(scope="session")
def mlserver_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with catalogue.mlserver(tmp_path_factory.mktemp("mlserver")) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with catalogue.mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def bentoml_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with catalogue.bentoml(tmp_path_factory.mktemp("bentoml")) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with tracking_server(tmp_path_factory.mktemp("mlflow-tracking")) as server:
        yield server


@pytest.fixture(params=list(SERVED))
def served(request: pytest.FixtureRequest) -> Served:
    return SERVED[request.param]


@pytest.fixture
def server(served: Served, request: pytest.FixtureRequest) -> RunningServer:
    """The running server of `served`."""
    found: RunningServer = request.getfixturevalue(served.fixture)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the server of a failed test printed."""
    report = yield
    if report.failed:
        for each in getattr(item, "funcargs", {}).values():
            if isinstance(each, RunningServer):
                report.sections.append((f"what {each.name} printed at last", each.last_words()))
    return report
