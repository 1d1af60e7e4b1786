"""A real Prometheus with a past: series of our making, written into its storage before it starts."""

import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

Level = Callable[[datetime], float | None]
"""A series' value at a moment; None: it was not scraped."""


@dataclass
class Past:
    """Series from ``start`` to ``end``, scraped at the same moments."""

    start: datetime
    end: datetime
    scrape: timedelta
    series: dict[str, list[tuple[Mapping[str, str], Level]]] = field(default_factory=dict)

    def add(self, name: str, level: Level, **labels: str) -> None:
        """Add a series; a name's series are all of one pod and namespace each."""
        self.series.setdefault(name, []).append((labels, level))

    def pod(self, pod: str, counters: Mapping[str, tuple[Mapping[str, str], Level]], *, namespace: str) -> None:
        """Add a pod that was scraped all the time, with its counters by name."""
        target = {"namespace": namespace, "pod": pod, "job": "pods", "instance": pod}
        self.add("up", lambda _: 1.0, **target)
        for name, (labels, level) in counters.items():
            self.add(name, level, **target, **labels)

    def moments(self) -> Iterator[datetime]:
        """Yield the moments of the scrapes."""
        moment = self.start
        while moment <= self.end:
            yield moment
            moment += self.scrape

    def write(self, folder: Path) -> None:
        """Write it as blocks into a storage that no Prometheus uses yet."""
        program = shutil.which("promtool")
        if program is None:
            pytest.fail("the program promtool is missing: it comes with Prometheus")
        text = folder / "past.txt"
        text.write_text("".join(f"{line}\n" for line in self._lines()))
        command = [program, "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "storage")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"promtool could not write the past: {done.stderr}")

    def _lines(self) -> Iterable[str]:
        for name, series in self.series.items():
            yield f"# TYPE {name} unknown"
            for labels, level in series:
                shown = ",".join(f'{label}="{value}"' for label, value in labels.items())
                for moment in self.moments():
                    value = level(moment)
                    if value is not None:
                        yield f"{name}{{{shown}}} {value:g} {moment.timestamp():.3f}"
        yield "# EOF"
