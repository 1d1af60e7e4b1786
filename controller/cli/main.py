"""The command line: finds the subcommand's module and hands over to it.

A module is imported only when its command was typed, so that ``judge`` starts without kopf and ``crds`` without scipy.
Each module offers ``add_parser(subparsers)``, which adds one parser and sets its default ``run`` to a function from the
parsed arguments to the exit code.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, NoReturn, cast

__all__ = ["COMMANDS", "Command", "main"]

_USAGE_ERROR_EXIT: Final = 1
_UNREAD_EXIT: Final = 1
_INTERRUPTED_EXIT: Final = 130
"""128 + the number of the signal, as shells have it."""


@dataclass(frozen=True)
class Command:
    """Where a subcommand lives, and its line in the overview."""

    module: str
    summary: str


COMMANDS: Final[Mapping[str, Command]] = {
    "judge": Command("controller.cli.judge", "judge a RolloutRecord or a file of windows again, offline"),
    "simulate": Command("controller.cli.simulate", "try a ModelRollout on simulated traffic"),
    "plan-size": Command("controller.cli.plan_size", "forecast how many requests and how long a verdict needs"),
    "backtest": Command("controller.cli.backtest", "judge past requests: false alarms on your own traffic"),
    "crds": Command("controller.cli.crds", "print the CustomResourceDefinitions"),
}
"""What needs no running operator; the process that steers rollouts adds its own in ``controller.__main__``."""


def main(
    argv: Sequence[str] | None = None, *, commands: Mapping[str, Command] = COMMANDS, program: str | None = None
) -> int:
    """Run the subcommand that the arguments name.

    Args:
        argv: arguments without the program's name; the process's own by default.
        commands: which subcommands there are.
        program: name in the usage text.

    Returns:
        The exit code; 130 after an interrupt, 1 where nobody reads the output to its end.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser(words, commands, program).parse_args(words)
    try:
        code = cast("Callable[[argparse.Namespace], int]", arguments.run)(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return _INTERRUPTED_EXIT
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, or Python complains about it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREAD_EXIT
    return code


class _Parser(argparse.ArgumentParser):
    """Ends with 1 on words that it does not know: 2, which is argparse's own choice, says ``Worse``."""

    def error(self, message: str) -> NoReturn:
        """Print usage and what was wrong, and end the process."""
        self.print_usage(sys.stderr)
        self.exit(_USAGE_ERROR_EXIT, f"{self.prog}: error: {message}\n")


def _parser(words: Sequence[str], commands: Mapping[str, Command], program: str | None) -> argparse.ArgumentParser:
    parser = _Parser(prog=program, description="Roll out ML models on statistics.")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    typed = next((word for word in words if not word.startswith("-")), None)
    for name, command in commands.items():
        if name == typed:
            import_module(command.module).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=command.summary)
    return parser
