"""Lists of packages with versions, as people write them into an annotation."""

import re
from typing import Final

MOST_PACKAGES: Final = 2000
"""Packages of a list that are compared; an annotation cannot hold many more."""

_PINNED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*={2,3}\s*([^\s;,\\]+)")
_SEPARATORS: Final = re.compile(r"[-_.]+")


def packages(text: str) -> dict[str, str]:
    """Return version by name of ``numpy==1.26.4,scipy==1.13.0`` or of the text of a lock file.

    Names are normalised as indexes do it; what pins no version (hashes, comments, options) says nothing and is left
    out.
    """
    lines = (line.partition("#")[0] for line in text.splitlines())
    found = _PINNED.findall("\n".join(lines))
    return {_SEPARATORS.sub("-", name).lower(): version for name, version in found[:MOST_PACKAGES]}
