"""Being told to stop."""

import signal
from typing import Final

_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class StopSignal:
    """SIGTERM or SIGINT, waited for instead of handled.

    A Python handler runs in the main thread between two of its instructions. If the signal comes while that
    thread waits for its turn among busy others, it can go to sleep with the handler still due, and the process
    is never told.
    """

    def __init__(self) -> None:
        """Block both signals, so that they wait for `wait`; threads inherit this, so start them afterwards."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def wait(self) -> None:
        """Return once the process was told to stop, now or earlier."""
        signal.sigwait(_SIGNALS)
