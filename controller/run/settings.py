"""The operator's own settings: one YAML file, read once at the start."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from controller.api.model import ApiModel
from controller.api.scalars import Duration, ObjectName, parse_duration

DEFAULT_PATH: Final = Path("/etc/modelrollout/config.yaml")

SETTLE_SCRAPES: Final = 2
SETTLE_MARGIN: Final = timedelta(seconds=5)


class SettingsError(Exception):
    """The settings cannot be used; the message says what was expected, what was found and what to do."""


def _empty_is_absent(text: object) -> object:
    return None if text in ("", None) else text


def _positive(span: timedelta) -> timedelta:
    if span <= timedelta(0):
        msg = "must be longer than 0s"
        raise ValueError(msg)
    return span


OptionalDuration = Annotated[
    timedelta | None, BeforeValidator(lambda text: None if text in ("", None) else parse_duration(text))
]
OptionalPath = Annotated[Path | None, BeforeValidator(_empty_is_absent)]
OptionalName = Annotated[ObjectName | None, BeforeValidator(_empty_is_absent)]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/\S*)?$")]


class PrometheusSettings(ApiModel):
    """A Prometheus server that rollouts may name."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    url: HttpUrl
    scrape_interval: Annotated[Duration, AfterValidator(_positive)] = timedelta(seconds=15)
    settle: OptionalDuration = None
    bearer_token_file: OptionalPath = None
    allow_queries: bool = False
    """Whether rollouts may ask it queries of their own, which are confined to their pods but may be costly."""

    @property
    def settling(self) -> timedelta:
        """How long after a window's end its samples are complete: ``settle``, or two scrapes and 5 seconds."""
        return SETTLE_SCRAPES * self.scrape_interval + SETTLE_MARGIN if self.settle is None else self.settle


class MlflowSettings(ApiModel):
    """An MLflow tracking server whose model versions rollouts may name."""

    url: HttpUrl
    bearer_token_file: OptionalPath = None


class LeaderElectionSettings(ApiModel):
    """The Lease that lets one of several replicas work; without a namespace it lies in the operator's own."""

    enabled: bool = True
    name: ObjectName = "modelrollout"
    namespace: OptionalName = None


class ListenSettings(ApiModel):
    """Where /metrics, /healthz and /readyz are served."""

    address: str = "0.0.0.0"  # noqa: S104  the kubelet and Prometheus come from outside the pod
    port: Annotated[int, Field(ge=0, le=65535)] = 8081


class LogFormat(StrEnum):
    """How a log line looks."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least important lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(ApiModel):
    """What is logged, and how."""

    format: LogFormat = LogFormat.JSON
    level: LogLevel = LogLevel.INFO


class Settings(ApiModel):
    """All settings; ``namespaces`` empty means the whole cluster."""

    prometheus: tuple[PrometheusSettings, ...]
    mlflow: tuple[MlflowSettings, ...] = ()
    namespaces: tuple[ObjectName, ...] = ()
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    leader_election: LeaderElectionSettings = LeaderElectionSettings()
    listen: ListenSettings = ListenSettings()
    logs: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _coherent(self) -> "Settings":
        if not self.prometheus:
            msg = "prometheus must name at least one server, with name and url"
            raise ValueError(msg)
        names = [server.name for server in self.prometheus]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"prometheus names must be distinct, found twice: {', '.join(twice)}"
            raise ValueError(msg)
        return self


def read_settings(path: Path) -> Settings:
    """Read the settings from a file.

    Raises:
        SettingsError: when the file is missing, is no YAML or holds something else than settings.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        msg = f"cannot read the settings from {path}: {reason}; name the right file with --config"
        raise SettingsError(msg) from None
    return parse_settings(text, origin=str(path))


def parse_settings(text: str, *, origin: str) -> Settings:
    """Read the settings from YAML text; ``origin`` is named in errors.

    Raises:
        SettingsError: when the text is no YAML or holds something else than settings.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{origin} is no YAML: {' '.join(str(error).split())}"
        raise SettingsError(msg) from None
    if not isinstance(content, dict):
        msg = f"{origin} must be a YAML mapping that starts with a list 'prometheus:', found {type(content).__name__}"
        raise SettingsError(msg)
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        lines = (f"{_path(fault['loc'])}: {_sentence(fault['msg'])}" for fault in error.errors(include_url=False))
        msg = f"{origin} does not hold valid settings: " + "; ".join(lines)
        raise SettingsError(msg) from None


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".") or "the file"


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")
