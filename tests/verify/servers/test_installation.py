"""The installation of the servers, and their life as processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.layout import ClusterError
from tests.verify.servers.environments import ENVIRONMENTS, REQUIREMENTS, ensure, install, variables
from tests.verify.servers.process import RunningServer, ServerError, free_ports, running

CHECKOUT = Path(__file__).resolve().parents[3]
LEADER = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.mark.parametrize("name", list(ENVIRONMENTS))
def test_packages_are_pinned_by_hash_and_name_no_host(name: str) -> None:
    text = ENVIRONMENTS[name].lock.read_text()
    pins = re.findall(r"^(\S+)==\S+", text, flags=re.MULTILINE)
    assert len(pins) > 10
    assert len(text.split("--hash=sha256:")) > len(pins)
    assert "://" not in text
    wanted = [line.split("==") for line in (REQUIREMENTS / f"{name}.in").read_text().splitlines() if "==" in line]
    assert wanted
    assert all(f"{package}=={version} " in text for package, version in wanted)


def test_what_is_installed_is_left_alone() -> None:
    environment = ensure("bentoml")
    before = (environment.folder / "ready").stat().st_mtime_ns
    command = [sys.executable, "-m", "tests.verify.servers", "install", "bentoml"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert (environment.folder / "ready").stat().st_mtime_ns == before


def test_an_unknown_server_is_refused_with_those_there_are() -> None:
    with pytest.raises(ClusterError, match="no server is called triton; expected some of: kserve, mlserver"):
        install(["triton"])


def test_a_server_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    server = RunningServer("broken", port, tmp_path / "output.log")
    command = [sys.executable, "-c", "raise SystemExit('no model in sight')"]
    with (
        pytest.raises(ServerError, match=r"broken ended before it was ready \(.*\): no model in sight"),
        running(server, command, variables={}, ready_path="/"),
    ):
        pass


def test_nothing_of_a_server_is_left_behind_not_even_in_another_session(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    server = RunningServer("leader", port, tmp_path / "output.log")
    quiet = variables(ENVIRONMENTS["bentoml"], tmp_path)
    with running(server, [sys.executable, "-c", LEADER, str(port)], variables=quiet, ready_path="/"):
        child = int(server.log.read_text().split()[0])
        os.kill(child, 0)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
