"""Where each server's packages are: a virtual environment per server and content of its lock file, shared by checkouts.

`<cache>/servers/<name>/<hash>/` counts as installed once its `ready` file is there: a virtual environment cannot be
moved, so it is filled in its place, under a lock between processes. The model that a server loads is kept apart from
its packages, so that an edit of the model installs nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.binaries import cached, locked
from tests.cluster.layout import ClusterError, cache_folder, content_hash
from tests.cluster.progress import run_long, say

SOURCE = Path(__file__).resolve().parent
PROGRAMS = SOURCE / "programs"
REQUIREMENTS = SOURCE / "requirements"

QUIET: Mapping[str, str] = {
    "BENTOML_DO_NOT_TRACK": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "NO_PROXY": "*",
    "PYTHONUNBUFFERED": "1",
}
"""What keeps the servers from speaking to anyone but the tests."""


@dataclass(frozen=True)
class Environment:
    """The packages of one server, and the model that it loads.

    ``saves`` is the program that writes the model into a new folder, None for servers whose model is code.
    """

    name: str
    saves: str | None = None

    @property
    def lock(self) -> Path:
        """The pinned packages, with their hashes."""
        return REQUIREMENTS / f"{self.name}.txt"

    @property
    def folder(self) -> Path:
        """Where it is, or is going to be."""
        return cache_folder() / "servers" / self.name / self._key(self.lock)

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def model(self) -> Path:
        """The folder of the saved model."""
        programs = [PROGRAMS / self.saves] if self.saves else []
        return cache_folder() / "served-models" / self.name / self._key(self.lock, *programs) / "model"

    @property
    def installed(self) -> bool:
        """Whether it is complete."""
        return (self.folder / "ready").exists()

    def _key(self, *files: Path) -> str:
        # The interpreter is linked to, not copied: another one makes another environment.
        return content_hash(files, sys.version, sys.base_prefix)


ENVIRONMENTS: Mapping[str, Environment] = {
    each.name: each
    for each in (
        Environment("kserve"),
        Environment("mlserver", saves="save_for_mlserver.py"),
        Environment("mlflow", saves="save_for_mlflow.py"),
        Environment("bentoml"),
    )
}


def install(names: Iterable[str] = ()) -> None:
    """Install the named servers, or all, leaving alone what is complete; `ClusterError` for an unknown name."""
    wanted = list(names) or list(ENVIRONMENTS)
    if unknown := [name for name in wanted if name not in ENVIRONMENTS]:
        raise ClusterError(f"no server is called {unknown[0]}; expected some of: {', '.join(ENVIRONMENTS)}")
    for name in wanted:
        ensure(name)


def ensure(name: str) -> Environment:
    """Return the environment of a server, installed first if need be."""
    environment = ENVIRONMENTS[name]
    if not environment.installed:
        lock = environment.folder.with_suffix(".lock")
        with locked(lock, waiting=f"waiting for another process that installs {name}"):
            if not environment.installed:
                _install_packages(environment)
    if environment.saves:
        _save_model(environment, PROGRAMS / environment.saves)
    return environment


def pinned(name: str, package: str) -> str:
    """Return the version of a package of a server's."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", ENVIRONMENTS[name].lock.read_text(), flags=re.MULTILINE)
    if found is None:
        raise ClusterError(f"{package} is not in {ENVIRONMENTS[name].lock}")
    return found[1]


def variables(environment: Environment, home: Path) -> dict[str, str]:
    """Return what the environment's processes get: nothing of the caller's but the search path, files below `home`."""
    path = os.pathsep.join((str(environment.python.parent), os.environ.get("PATH", os.defpath)))
    return {"PATH": path, "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8", **QUIET}


def _install_packages(environment: Environment) -> None:
    started = time.monotonic()
    shutil.rmtree(environment.folder, ignore_errors=True)  # what a broken-off run left
    log = cache_folder() / "logs" / f"server-{environment.name}.log"
    venv = [sys.executable, "-m", "venv", "--without-pip", environment.folder / "venv"]
    run_long(f"making an environment for {environment.name}", venv, log=log)
    # The project's pip installs for the other interpreter. What is never imported need not be compiled.
    pip = [sys.executable, "-m", "pip", "--python", environment.python, "install"]
    options = ["--require-hashes", "--no-deps", "--no-compile", "--only-binary=:all:", "--disable-pip-version-check"]
    run_long(f"installing {environment.name}", [*pip, *options, "-r", environment.lock], log=log)
    (environment.folder / "ready").touch()
    say(f"{environment.name} is installed after {time.monotonic() - started:.0f} s")


def _save_model(environment: Environment, program: Path) -> None:
    log = cache_folder() / "logs" / f"served-model-{environment.name}.log"
    with cached(f"served-models/{environment.name}", environment.model.parent.name) as draft:
        if draft:
            home = variables(environment, draft)
            command = [environment.python, program, draft / "model"]
            run_long(f"saving a model for {environment.name}", command, log=log, cwd=draft, environment=home)
