"""Joins the rooms: builds the turn from the settings and the ports."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controller.act.events import EventSink
from controller.act.jobs import JobRunner
from controller.act.record import RecordKeeper
from controller.api.record import RecordedWindow
from controller.observe.evidence import EvidenceSource, PrometheusEvidence, Question
from controller.observe.mlflow import MlflowServer
from controller.observe.prometheus import PrometheusServer
from controller.observe.workloads import Workloads
from controller.plan.calibration import StableHistory
from controller.plan.verify.findings import Part
from controller.plan.windows import Window
from controller.run.evidence import Source
from controller.run.settings import PrometheusSettings, Settings
from controller.run.surroundings import Surroundings
from controller.run.telemetry import Telemetry
from controller.run.turn import Ports, Turn
from controller.run.verification.carried import ParityCheck, ProvenanceCheck
from controller.run.verification.jobs import PipelineCheck, ReproductionCheck
from controller.run.verification.pods import SmokeCheck
from controller.run.verification.prober import Prober
from controller.run.verification.verifier import Verifier
from controller.run.world import WorldReader


def build_turn(settings: Settings, around: Surroundings) -> Turn:
    """Return what a worker runs for each key."""
    cluster, telemetry = around.cluster, around.telemetry
    sources = {each.name: _source(each, telemetry) for each in settings.prometheus}
    return Turn(
        Ports(
            cluster=cluster,
            reader=WorldReader(
                cluster,
                Workloads(cluster),
                servers=frozenset(sources),
                queried=frozenset(each.name for each in settings.prometheus if each.allow_queries),
                shared=around.index.shares_route,
            ),
            sources=sources,
            records=RecordKeeper(cluster),
            events=EventSink(cluster),
            clock=_now,
            checks=_checks(settings, around),
            decided=telemetry.decided,
        )
    )


def _checks(settings: Settings, around: Surroundings) -> Verifier:
    cluster, prober, jobs = around.cluster, Prober(around.wake), JobRunner(around.cluster)
    around.on_stop(prober.stop)
    tokens = ((each.url, each.bearer_token_file) for each in settings.mlflow)
    servers = tuple(MlflowServer(url, None if token is None else str(token)) for url, token in tokens)
    return Verifier(
        cluster,
        prober,
        {
            Part.SMOKE: SmokeCheck(cluster, prober, clock=_now),
            Part.PARITY: ParityCheck(cluster, prober),
            Part.PROVENANCE: ProvenanceCheck(cluster, prober, servers=servers, clock=_now),
            Part.REPRODUCTION: ReproductionCheck(jobs, prober),
            Part.PIPELINE: PipelineCheck(jobs, prober),
        },
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _source(settings: PrometheusSettings, telemetry: Telemetry) -> Source:
    token = settings.bearer_token_file
    server = PrometheusServer(
        name=settings.name,
        url=settings.url,
        scrape=settings.scrape_interval,
        settle=settings.settling,
        bearer_token_file=None if token is None else str(token),
    )
    evidence = _Metered(PrometheusEvidence(server), server.name, telemetry)
    return Source(evidence=evidence, scrape=server.scrape, settle=server.settle)


@dataclass(frozen=True)
class _Metered:
    """An evidence source whose questions are counted and timed."""

    source: EvidenceSource
    server: str
    telemetry: Telemetry

    def window(self, window: Window, question: Question) -> RecordedWindow:
        with self.telemetry.prometheus_query(self.server):
            return self.source.window(window, question)

    def history(self, question: Question, *, before: datetime, interval: timedelta) -> dict[str, StableHistory]:
        with self.telemetry.prometheus_query(self.server):
            return self.source.history(question, before=before, interval=interval)

    def traffic(self, question: Question, *, before: datetime) -> dict[str, float]:
        with self.telemetry.prometheus_query(self.server):
            return self.source.traffic(question, before=before)

    def label_values(self, question: Question, metric: str, *, before: datetime) -> dict[str, tuple[str, ...]]:
        with self.telemetry.prometheus_query(self.server):
            return self.source.label_values(question, metric, before=before)
