"""The documentation as tests see it: pages, their code blocks and their links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from docs.generate import ROOT

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of code and where it is."""

    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}: {self.text.splitlines()[0]}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(language: str) -> tuple[Block, ...]:
    """All blocks of code in a language."""
    found = ((page, match) for page in PAGES for match in _FENCE.finditer(text_of(page)))
    return tuple(Block(page, match[1], match[2]) for page, match in found if match[1] == language)


def objects() -> Iterator[tuple[Block, dict[str, Any]]]:
    """All Kubernetes objects in YAML blocks."""
    for block in blocks("yaml"):
        for document in yaml.safe_load_all(block.text):
            if isinstance(document, dict) and "apiVersion" in document:
                yield block, document


def commands() -> Iterator[tuple[Path, str]]:
    """All lines that a reader is told to type, without the prompt, lines joined."""
    for block in blocks("console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield block.page, line.removeprefix("$ ")


def links(page: Path) -> tuple[str, ...]:
    """The targets of a page's links, code left out."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text_of(page)))
    return tuple(_LINK.findall(prose))


def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text_of(page)), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
