"""Lists of packages with versions, as people write them into an annotation."""

import re
from typing import Final

MOST_PACKAGES: Final = 2000
"""Packages of a list that are compared; an annotation cannot hold many more."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SEPARATORS: Final = re.compile(r"[-_.]+")


def packages(text: str) -> dict[str, str]:
    """Return version by name of ``numpy==1.26.4,scipy==1.13.0`` or of the text of a lock file.

    Names are normalised as indexes do it; what pins no version (hashes, comments, options) says nothing and is left
    out.
    """
    found: dict[str, str] = {}
    for entry in text.replace(",", "\n").splitlines():
        requirement, equals, rest = entry.partition("#")[0].partition("==")
        name, version = requirement.partition("[")[0].strip(), rest.lstrip("=").partition(";")[0].split()
        if equals and version and _NAME.fullmatch(name) and len(found) < MOST_PACKAGES:
            found[_SEPARATORS.sub("-", name).lower()] = version[0].rstrip("\\")
    return found
