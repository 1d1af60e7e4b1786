"""The test cluster's own tool: what it names, builds, runs, and above all ends."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.cluster import binaries, buildah, images, processes, supervisor
from tests.cluster.layout import SOURCE, Layout, Size, cache_folder, content_hash, point_to
from tests.cluster.plan import Component, Plan, flags

SECONDS = 30.0


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.02)


# --- names ------------------------------------------------------------------------------------------------------


def test_two_checkouts_have_different_identities_and_nothing_outside_themselves() -> None:
    one, other = (Layout(Path(f"/somewhere/{name}"), Size.FULL) for name in ("one", "other"))
    assert one.identity != other.identity
    for path in (one.kubeconfig, one.enter, one.certificates, one.logs, one.supervisor, one.plan):
        assert path.is_relative_to("/somewhere/one/.cluster/full")


def test_the_cache_is_where_the_environment_says() -> None:
    assert cache_folder({"MODELROLLOUT_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/modelrollout")
    assert cache_folder({}) == Path.home().resolve() / ".cache" / "modelrollout"


def make(layout: Layout) -> None:
    layout.folder.mkdir(parents=True)
    layout.kubeconfig.write_text(layout.size)
    layout.enter.write_text(layout.size)


def test_the_short_names_are_the_full_clusters_and_the_small_ones_when_it_is_alone(tmp_path: Path) -> None:
    small, full = Layout(tmp_path, Size.CONTROL_PLANE), Layout(tmp_path, Size.FULL)
    make(small)
    point_to(small)
    assert (tmp_path / ".cluster" / "kubeconfig").read_text() == "control-plane"
    make(full)
    point_to(full)
    assert (tmp_path / ".cluster" / "kubeconfig").read_text() == "full"
    assert (tmp_path / ".cluster" / "enter").read_text() == "full"
    for layout in (full, small):
        shutil.rmtree(layout.folder)
        point_to(layout)
    assert list((tmp_path / ".cluster").iterdir()) == []


# --- builds -----------------------------------------------------------------------------------------------------


def test_the_hash_knows_content_name_mode_and_words_but_not_the_place(tmp_path: Path) -> None:
    variants = [
        ("a", "x", 0o644, "w"),
        ("a", "x", 0o644, "w"),
        ("b", "x", 0o644, "w"),
        ("a", "y", 0o644, "w"),
        ("a", "x", 0o755, "w"),
        ("a", "x", 0o644, "v"),
    ]
    hashes = []
    for number, (name, text, mode, word) in enumerate(variants):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
        hashes.append(content_hash([folder], word))
    assert hashes[0] == hashes[1]
    assert len(set(hashes[1:])) == 5


def test_what_is_cached_is_made_once_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELROLLOUT_CACHE", str(tmp_path))
    made: list[int] = []

    def ask(number: int) -> None:
        with binaries.cached("thing", "key") as draft:
            if draft:
                time.sleep(0.2)  # the others come meanwhile
                (draft / "content").write_text(str(number))
                made.append(number)
        assert (tmp_path / "thing" / "key" / "content").exists()

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(made) == 1


def test_a_failed_build_leaves_nothing_that_looks_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELROLLOUT_CACHE", str(tmp_path))

    def fail_half_way() -> None:
        with binaries.cached("thing", "key") as draft:
            assert draft
            (draft / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert [path.name for path in (tmp_path / "thing").iterdir()] == ["key.lock"]


DOCKERFILE = """\
ARG BASE_IMAGE=python:3.13-slim
FROM ${BASE_IMAGE} AS build
COPY --chown=1:1 pyproject.toml \\
     ./package/ /app/
RUN echo COPY nothing
FROM scratch
COPY --from=build /opt/venv /opt/venv
ADD ["with space.txt", "made", "/"]
COPY *.md /
"""


def context(folder: Path) -> images.Image:
    for name in ("pyproject.toml", "package/a.py", "package/__pycache__/a.pyc", "with space.txt", "README.md", "other"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    made = {"made": images.Ingredient(key=lambda: "1", make=lambda: folder / "other")}
    return images.Image("some:dev", folder / "Dockerfile", folder, made=made)


def test_a_build_sees_what_its_dockerfile_copies_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    image = context(tmp_path / "context")
    staged = tmp_path / "staged"
    staged.mkdir()
    images.stage(image, staged, made={"made": image.made["made"].make()})
    found = {str(file.relative_to(staged)) for file in staged.rglob("*") if file.is_file()}
    assert found == {"Dockerfile", "pyproject.toml", "package/a.py", "with space.txt", "README.md", "made"}
    assert (staged / "made").read_text() == "other"


def test_an_image_is_built_anew_only_when_something_it_copies_changes(tmp_path: Path) -> None:
    image = context(tmp_path)
    before = images.key(image)
    (tmp_path / "other").write_text("edited")
    (tmp_path / "package" / "__pycache__" / "a.pyc").write_text("edited")
    os.utime(tmp_path / "package" / "a.py", (1, 1))
    assert images.key(image) == before
    (tmp_path / "package" / "a.py").write_text("edited")
    assert images.key(image) != before


def test_a_build_is_lent_the_machines_settings_for_pip() -> None:
    text = buildah.pip_configuration({"PIP_DEFAULT_TIMEOUT": "7", "PIP_CONFIG_FILE": "/x", "HOME": "/y"})
    assert text.splitlines() == ["[global]", "default-timeout = 7", "cert = /etc/ssl/certs/ca-certificates.crt"]


def test_every_image_of_the_cluster_can_be_told_apart() -> None:
    assert len({images.key(image) for image in (*images.ADDONS, images.BASE)}) == len(images.ADDONS) + 1


# --- processes --------------------------------------------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_a_process_is_ended_and_a_zombie_counts_as_ended(sleeper: subprocess.Popen[bytes]) -> None:
    process = processes.Process(sleeper.pid, started(sleeper.pid))
    assert process.alive()
    assert processes.end([process], seconds=SECONDS) == []
    assert Path(f"/proc/{sleeper.pid}").exists()  # nobody has asked for its exit code yet
    assert not process.alive()


def test_another_process_with_the_pid_of_an_old_one_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    old = processes.Process(sleeper.pid, started(sleeper.pid) - 1)
    assert not old.alive()
    old.send(signal.SIGKILL)
    assert processes.end([old]) == []
    assert sleeper.poll() is None


@pytest.mark.parametrize("content", [None, "", "17", "17 x", "17 1 1"])
def test_a_pid_file_that_is_absent_or_broken_names_nobody(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "pid").write_text(content)
    assert processes.read(tmp_path / "pid") is None


# --- the supervisor ---------------------------------------------------------------------------------------------


class Supervised:
    """A supervisor over two components that only sleep, the second of which waits for a socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "socket"
        for name in ("logs", "pids"):
            (folder / name).mkdir()
        sleep = ("sleep", "600")
        components = (Component("first", sleep), Component("second", sleep, (f"unix:{self.socket}",)))
        (folder / "plan.json").write_text(Plan(str(folder), components, setup=(("true",),)).text())
        command = [sys.executable, supervisor.__file__, str(folder / "plan.json")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def running(self, name: str) -> processes.Process | None:
        return processes.running(self.folder / "pids" / name)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    under = Supervised(tmp_path)
    try:
        eventually(lambda: under.running("first") is not None)
        yield under
    finally:
        under.process.kill()
        under.process.wait()


def test_a_component_starts_when_what_it_needs_answers(supervised: Supervised) -> None:
    import socket

    assert supervised.running("second") is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(supervised.socket))
        server.listen()
        eventually(lambda: supervised.running("second") is not None)


def test_a_killed_component_comes_back_unless_it_is_held(supervised: Supervised) -> None:
    first = supervised.running("first")
    assert first
    first.send(signal.SIGKILL)
    eventually(lambda: supervised.running("first") not in (None, first))
    (supervised.folder / "held").mkdir()
    (supervised.folder / "held" / "first").touch()
    second = supervised.running("first")
    assert second
    second.send(signal.SIGKILL)
    time.sleep(2 * supervisor.PAUSE_SECONDS)
    assert supervised.running("first") is None
    (supervised.folder / "held" / "first").unlink()
    eventually(lambda: supervised.running("first") is not None)


def test_the_components_end_with_a_killed_supervisor(supervised: Supervised) -> None:
    first = supervised.running("first")
    assert first
    supervised.process.kill()
    eventually(lambda: not first.alive())


def test_everything_ends_when_the_run_folder_is_deleted(supervised: Supervised) -> None:
    first = supervised.running("first")
    assert first
    shutil.rmtree(supervised.folder)
    eventually(lambda: supervised.process.poll() is not None and not first.alive())


def test_a_command_line_is_made_of_flags() -> None:
    assert flags("/bin/etcd", [("data-dir", Path("/d")), ("port", 1)]) == ("/bin/etcd", "--data-dir=/d", "--port=1")


# --- Prometheus's targets ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    file = SOURCE / "container" / "prometheus" / "targets.py"
    spec = importlib.util.spec_from_file_location("targets", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pod(*, scrape: str = "true", phase: str = "Running", address: str | None = "198.19.1.1") -> dict[str, object]:
    annotations = {"prometheus.io/scrape": scrape, "prometheus.io/port": "9000"}
    metadata = {"name": "p", "namespace": "n", "annotations": annotations}
    return {"metadata": metadata, "status": {"phase": phase, **({"podIP": address} if address else {})}}


def test_an_annotated_pod_is_a_target_from_its_address_to_its_end(targets: ModuleType) -> None:
    labels = {"namespace": "n", "pod": "p", "__metrics_path__": "/metrics"}
    assert targets.target(pod()) == {"targets": ["198.19.1.1:9000"], "labels": labels}
    assert targets.target(pod(phase="Pending")) is not None
    for other in (pod(scrape="false"), pod(address=None), pod(phase="Succeeded"), pod(phase="Failed")):
        assert targets.target(other) is None


# --- a control plane of its own ---------------------------------------------------------------------------------


class Checkout:
    """Another checkout on this machine, by the command line that people use."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder.resolve(), Size.CONTROL_PLANE)

    def cluster(self, *words: str) -> str:
        command = [sys.executable, "-m", "tests.cluster", "--checkout", str(self.layout.checkout), *words]
        return subprocess.run(command, cwd=SOURCE.parent.parent, check=True, capture_output=True, text=True).stdout

    def kubectl(self, *words: str) -> str:
        command = [str(self.layout.enter), "kubectl", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def kill(self, *names: str) -> None:
        for name in names:
            process = processes.running(self.layout.pids / name)
            assert process
            process.send(signal.SIGKILL)

    def left(self) -> list[str]:
        """Return the command lines of this machine's processes that name the checkout."""
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(self.layout.root).encode() in words:
                found.append(words.decode(errors="replace"))
        return found


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    one = Checkout(tmp_path)
    try:
        yield one
    finally:
        one.cluster("down")


@pytest.mark.controlplane
def test_a_control_plane_survives_every_kill_and_leaves_nothing(checkout: Checkout) -> None:
    checkout.cluster("up", "--size", "control-plane")
    assert len(checkout.left()) == 3
    checkout.kubectl("create", "namespace", "kept")
    for victims in (["etcd", "kube-apiserver"], ["supervisor"]):
        checkout.kill(*victims)
        checkout.cluster("up", "--size", "control-plane")
        assert json.loads(checkout.kubectl("get", "namespace", "kept", "-o", "json"))["status"]["phase"] == "Active"
    before = processes.read(checkout.layout.supervisor)
    checkout.cluster("up", "--size", "control-plane")
    assert processes.read(checkout.layout.supervisor) == before
    checkout.cluster("down")
    assert checkout.left() == []
    assert not checkout.layout.root.exists()


@pytest.mark.controlplane
def test_a_held_api_server_stays_away_until_it_is_released(checkout: Checkout) -> None:
    checkout.cluster("up", "--size", "control-plane")
    checkout.cluster("hold", "kube-apiserver", "--size", "control-plane")
    with pytest.raises(subprocess.CalledProcessError):
        checkout.kubectl("get", "--raw=/readyz")
    assert "(held)" in checkout.cluster("status")
    checkout.cluster("release", "kube-apiserver", "--size", "control-plane")
    checkout.cluster("up", "--size", "control-plane")
    assert checkout.kubectl("get", "--raw=/readyz") == "ok"
