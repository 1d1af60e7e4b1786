"""What is known of a pod in the midst of its smoke test: each thing is asked once, when a step first needs it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from controller.api.verdicts import CheckState
from controller.api.verify import GoldenCase
from controller.observe.probes.client import PodClient
from controller.observe.probes.protocol import ModelDescription
from controller.observe.probes.protocols import protocol_for
from controller.observe.probes.smoke.conversation import Conversation, Reply, UnansweredError
from controller.observe.probes.smoke.order import SmokeOrder
from controller.observe.probes.smoke.page import MetricsPage
from controller.observe.probes.target import Exchange, ProbeError, Target
from controller.plan.verify.fingerprint import fingerprint

MOST_BYTES: Final = 8 * 2**20
"""Of all answers to golden requests that are kept for one pod, stable's included."""


@dataclass(frozen=True)
class Found:
    """What a step found; its name and its seconds are added by whoever runs it."""

    state: CheckState
    found: str = ""
    expected: str = ""


class StoppedError(Exception):
    """The process ends in the midst of a step."""


class Course:
    """A smoke test under way.

    Args:
        order: what to test.
        deadline: instant of ``monotonic`` when it must have ended.
        monotonic: the clock.
        stopping: whether the process ends.
    """

    def __init__(
        self, order: SmokeOrder, *, deadline: float, monotonic: Callable[[], float], stopping: Callable[[], bool]
    ) -> None:
        self.order = order
        self.description: ModelDescription | None = None
        self.page_before: MetricsPage | None = None
        self._deadline = deadline
        self._monotonic = monotonic
        self._stopping = stopping
        self._open: list[Conversation | PodClient] = []
        self._replies: dict[str, Reply | ProbeError] = {}
        self._stable_replies: dict[str, Reply | ProbeError] = {}
        self._page: PodClient | None = None
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            each.close()

    def check_running(self) -> None:
        """Raise ``StoppedError`` when the process ends."""
        if self._stopping():
            raise StoppedError

    def wait(self, seconds: float) -> bool:
        """Wait, at most until the deadline; return whether there is time left."""
        self.check_running()
        left = self._deadline - self._monotonic()
        time.sleep(max(0.0, min(seconds, left)))
        return left > seconds

    @cached_property
    def pod(self) -> Conversation:
        """The conversation with the pod under test; ``ProbeError`` when its address is none."""
        return self._conversation(self.order.target)

    @cached_property
    def stable(self) -> Conversation | None:
        """The conversation with stable's pod, None where there is none; ``ProbeError`` when its address is none."""
        return None if self.order.stable is None else self._conversation(self.order.stable)

    def reply(self, case: GoldenCase) -> Reply:
        """Return the pod's reply to a golden request, which is sent once.

        Raises:
            ProbeError: what was wrong with it.
        """
        return self._once(self._replies, case, self.pod, self.description)

    def again(self, case: GoldenCase) -> Reply:
        """Send a golden request once more.

        Raises:
            ProbeError: what was wrong with the reply.
        """
        self.check_running()
        try:
            return self.pod.infer(case, self.description)
        except ProbeError as error:
            msg = f"golden case {case.name}, sent again: {error}"
            raise ProbeError(msg) from None

    def stable_reply(self, case: GoldenCase) -> Reply | None:
        """Return the reply of stable's pod, None where there is no stable; a silent one is not asked again.

        Raises:
            ProbeError: what was wrong with it.
        """
        if self.stable is None:
            return None
        silent = next((each for each in self._stable_replies.values() if isinstance(each, UnansweredError)), None)
        if silent is not None:
            raise silent
        return self._once(self._stable_replies, case, self.stable, None)

    def ask_all(self) -> None:
        """Send every golden request, but none after one that got no answer at all."""
        for case in self.order.cases:
            try:
                self.reply(case)
            except UnansweredError:
                return
            except ProbeError:
                continue

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the replies; None while one of them is missing."""
        replies = [(name, self._replies.get(name)) for name in sorted(case.name for case in self.order.cases)]
        complete = [(name, reply) for name, reply in replies if isinstance(reply, Reply)]
        if not complete or len(complete) < len(replies):
            return None
        return fingerprint((name, reply.output) for name, reply in complete)

    @property
    def sent(self) -> int:
        """Inference requests that the pod under test answered."""
        return self._answered_by("pod")

    @property
    def sent_to_stable(self) -> int:
        """Inference requests that stable's pod answered."""
        return self._answered_by("stable")

    def _answered_by(self, arm: str) -> int:
        # A conversation that was never begun must not be begun by asking for its length.
        conversation = vars(self).get(arm)
        return conversation.answered if isinstance(conversation, Conversation) else 0

    def was_sent(self, case: GoldenCase) -> bool:
        """Whether a golden request was sent; none is after one that got no answer at all."""
        return case.name in self._replies

    def problem(self, case: GoldenCase) -> str | None:
        """Return what was wrong with the reply to a golden request that was sent."""
        reply = self._replies.get(case.name)
        return str(reply) if isinstance(reply, ProbeError) else None

    def page(self) -> MetricsPage:
        """Read the pod's metrics page.

        Raises:
            ProbeError: no answer, or no metrics page.
        """
        check = self.order.smoke.metrics
        path = check.path if check is not None else "/metrics"
        if self._page is None:
            target = self.order.target
            port = check.port if check is not None and check.port is not None else target.port
            own = Target(target.name, target.uid, target.address, port)
            self._page = PodClient(own, deadline=self._deadline, monotonic=self._monotonic)
            self._open.append(self._page)
        headers = {"Accept": "text/plain; version=0.0.4"}
        return MetricsPage.read(self._page.send(Exchange("GET", path, headers=headers), timeout=5.0), path)

    def _conversation(self, target: Target) -> Conversation:
        protocol = protocol_for(self.order.protocol, self.order.model)
        conversation = Conversation(target, protocol, deadline=self._deadline, monotonic=self._monotonic)
        self._open.append(conversation)
        return conversation

    def _kept(self, reply: Reply) -> Reply:
        self._bytes += len(reply.answer.body)
        if self._bytes > MOST_BYTES:
            msg = f"the answers to golden requests are more than {MOST_BYTES:,} bytes together"
            raise ProbeError(msg)
        return reply

    def _once(
        self,
        known: dict[str, Reply | ProbeError],
        case: GoldenCase,
        pod: Conversation,
        description: ModelDescription | None,
    ) -> Reply:
        if case.name not in known:
            self.check_running()
            try:
                known[case.name] = self._kept(pod.infer(case, description))
            except ProbeError as error:
                known[case.name] = error
        reply = known[case.name]
        if isinstance(reply, ProbeError):
            raise reply
        return reply
