"""``python -m controller``: the operator itself and the commands that need no running one."""

import sys
from typing import Final

from controller.cli.main import COMMANDS, Command, main

OPERATOR: Final = Command("controller.run.command", "run the operator")

if __name__ == "__main__":
    sys.exit(main(commands={"run": OPERATOR, **COMMANDS}, program="python -m controller"))
