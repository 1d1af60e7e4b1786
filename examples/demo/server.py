"""Serve one version of the digits model over HTTP until told to stop: `python -m examples.demo.server`.

Environment:
    MODEL_VERSION: v1, same, good, weaker, wrong, slow or broken (default v1).
    MODEL_REVISION: The immutable revision named in metrics and answers (default: MODEL_VERSION).
    MODEL_NAME: The name that all versions share (default digits).
    MODEL_DIR: Where `train` wrote the models (default models).
    MODEL_SEED: Fixes which requests of `broken` fail (default: chance decides).
    MODEL_LOOKUP_MS: Median milliseconds of the look-up of features before each prediction (default 0: none).
    PORT: The port to listen on, on every address (default 8080; 0: any free one).
    HOST: The address to listen on (default 0.0.0.0).
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from examples.demo.application import Application
from examples.demo.classifier import RUNTIME, VERSIONS, Classifier
from examples.demo.http_service import HttpService
from examples.demo.instrumentation import ModelIdentity, ModelMetrics
from examples.demo.stop_signal import StopSignal

_QUIET_SECONDS, _LIMIT_SECONDS = 0.5, 10.0

_LOG = logging.getLogger("server")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; the module's documentation names the variables."""

    version: str
    revision: str
    model: str
    folder: Path
    seed: int | None
    lookup_seconds: float
    address: tuple[str, int]

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check the environment.

        Raises:
            SystemExit: A variable has no sensible value.
        """
        version = environ.get("MODEL_VERSION", "v1")
        if version not in VERSIONS:
            raise SystemExit(f"expected MODEL_VERSION to be one of {', '.join(VERSIONS)}, found {version!r}")
        seed = _number(environ, "MODEL_SEED")
        port = _number(environ, "PORT")
        return cls(
            version=version,
            revision=environ.get("MODEL_REVISION") or version,
            model=environ.get("MODEL_NAME", "digits"),
            folder=Path(environ.get("MODEL_DIR", "models")),
            seed=seed,
            lookup_seconds=(_number(environ, "MODEL_LOOKUP_MS") or 0) / 1000,
            address=(environ.get("HOST", "0.0.0.0"), 8080 if port is None else port),
        )


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    if text and not (text.isascii() and text.isdigit()):
        raise SystemExit(f"expected {name} to be a number, found {text!r}")
    return int(text) if text else None


def build(settings: Settings) -> Application:
    """Load the model and put the application together.

    Raises:
        FileNotFoundError: The model was not trained.
    """
    classifier = Classifier(
        VERSIONS[settings.version],
        folder=settings.folder,
        seed=settings.seed,
        lookup_seconds=settings.lookup_seconds,
    )
    identity = ModelIdentity(
        model=settings.model,
        version=settings.revision,
        digest=classifier.digest,
        spec_hash=classifier.spec_hash,
        runtime=RUNTIME,
        framework="scikit-learn",
    )
    metrics = ModelMetrics(identity, classes=[str(label) for label in classifier.labels])
    return Application(classifier, metrics, model=settings.model, version=settings.version, revision=settings.revision)


def main() -> None:
    """Serve until SIGTERM or SIGINT, then answer what is still under way."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    told = StopSignal()
    settings = Settings.read(os.environ)
    application = build(settings)
    service = HttpService(settings.address, application.handle)
    service.start()
    _LOG.info("serving %s version %s on port %d", settings.model, settings.version, service.port)
    told.wait()
    _LOG.info("stopping: answering until nobody has asked for %.1f s", _QUIET_SECONDS)
    application.stop()
    service.stop(quiet=_QUIET_SECONDS, limit=_LIMIT_SECONDS)
    _LOG.info("stopped")


if __name__ == "__main__":
    main()
