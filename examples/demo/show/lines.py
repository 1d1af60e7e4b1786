"""The show without a terminal: one line per change."""

import time

from controller.api.reasons import Phase
from controller.api.status import TrafficStatus
from examples.demo.show.figures import Compared, Weighed, short, soon
from examples.demo.show.scene import Moment
from examples.demo.show.stage import say


class Lines:
    """Prints a line whenever it says something else than the last one."""

    def __init__(self) -> None:
        self._last: tuple[str, ...] = ()

    def show(self, moment: Moment) -> None:
        """Print what is new, with the time of day."""
        lines = (*noise(moment), describe(moment))
        for line in lines:
            if line not in self._last:
                say(f"{time.strftime('%H:%M:%S')} {line}")
        self._last = lines


def noise(moment: Moment) -> tuple[str, ...]:
    """Say in one line what is allowed for noise between pods, as soon as that is known for the scene."""
    analysis = moment.status.analysis
    if analysis is None or not moment.begun or moment.ending or not moment.status.step_index:
        return ()
    return (f"{moment.scene.name:6} Noise between pods: {analysis.calibration}",)


def describe(moment: Moment) -> str:
    """Say in one line where the scene stands."""
    status = moment.status
    if not moment.begun or status.phase is None:
        return f"{moment.scene.name:6} waiting for the operator to begin with {moment.scene.candidate}"
    place = f"{status.step or '':3} {_weight(status.traffic):>7}"
    return f"{moment.scene.name:6} {status.phase:11} {place}  {_news(moment)}"


def _weight(traffic: TrafficStatus) -> str:
    applied, desired = traffic.applied_weight, traffic.desired_weight
    return f"{applied} %" if applied == desired else f"{applied}→{desired} %"


def _news(moment: Moment) -> str:
    status, weighed = moment.status, Weighed.of(moment.status)
    if status.phase is not Phase.PROGRESSING or weighed is None:
        return status.message
    metrics = [Compared.of(metric) for metric in status.analysis.metrics] if status.analysis else []
    figures = ", ".join(f"{each.name} {each.candidate} against {each.stable}" for each in metrics)
    forecast = soon(status)
    return (
        f"{figures}; {moment.judged} judged: evidence worse {short(weighed.worse)}, "
        f"not worse {short(weighed.not_worse)} of {short(weighed.needed)}{f'; {forecast}' if forecast else ''}"
    )
