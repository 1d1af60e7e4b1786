"""Log lines: machines get one JSON object each, people get text, both get the rollout."""

import io
import json
import logging
from collections.abc import Iterator
from threading import Thread

import pytest

from controller.run.logs import set_up_logs, speaking_of
from controller.run.settings import LogFormat, LogLevel, LogSettings


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


def written(settings: LogSettings) -> io.StringIO:
    stream = io.StringIO()
    set_up_logs(settings, stream)
    return stream


def test_a_json_line_carries_the_rollout_and_the_epoch() -> None:
    stream = written(LogSettings())
    with speaking_of(rollout="shop/fraud"), speaking_of(epoch=3):
        logging.getLogger("controller.run.turn").info("Weight %d %%", 25)
    logging.getLogger("controller").warning("Outside")
    inside, outside = (json.loads(line) for line in stream.getvalue().splitlines())
    assert inside["message"] == "Weight 25 %"
    assert (inside["rollout"], inside["epoch"], inside["level"]) == ("shop/fraud", 3, "info")
    assert inside["time"].endswith("Z")
    assert "rollout" not in outside


def test_an_error_stays_on_one_line_of_json() -> None:
    stream = written(LogSettings())
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("controller").exception("A défaut\nwith a line break")
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError" in json.loads(line)["error"]
    assert json.loads(line)["message"] == "A défaut\nwith a line break"


def test_text_is_for_people() -> None:
    stream = written(LogSettings(format=LogFormat.TEXT))
    with speaking_of(rollout="shop/fraud", epoch=3):
        logging.getLogger("controller.run").warning("Hello")
    assert stream.getvalue().rstrip().endswith("WARNING controller.run rollout=shop/fraud epoch=3: Hello")


def test_the_level_holds_and_the_informers_chatter_does_not_come_through() -> None:
    stream = written(LogSettings(level=LogLevel.WARNING))
    logging.getLogger("controller").info("quiet")
    logging.getLogger("kopf.objects").info("Handler 'pods' succeeded.")
    assert stream.getvalue() == ""


def test_threads_do_not_speak_of_each_others_rollouts() -> None:
    stream = written(LogSettings())
    with speaking_of(rollout="shop/fraud"):
        thread = Thread(target=lambda: logging.getLogger("controller").info("elsewhere"))
        thread.start()
        thread.join()
    assert "rollout" not in json.loads(stream.getvalue())
