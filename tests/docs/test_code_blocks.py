"""The documentation's programs run, and its links lead somewhere.

A Python block after the comment ``<!-- run -->`` is a program of its own: it is run in an empty
folder and must exit with 0. One after ``<!-- file: NAME -->`` is saved as NAME for the programs
that follow it on the same page.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHERS = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "changelog.d").glob("*.md"))]

BLOCK = re.compile(
    r"^<!-- (?:(?P<run>run)|file: (?P<file>[\w.-]+)) -->\n+```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COMMENT = re.compile(r"^<!-- (?:run|file\b).*", re.MULTILINE)
FENCED = re.compile(r"^( *)(```+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """One block that runs, and the files that stand before it on its page."""

    name: str
    code: str
    files: dict[str, str]


def programs(page):
    text = page.read_text("utf-8")
    found, files = [], {}
    for block in BLOCK.finditer(text):
        if block["file"]:
            files[block["file"]] = block["code"]
        else:
            line = text.count("\n", 0, block.start()) + 1
            name = f"{page.relative_to(ROOT)}:{line}"
            found.append(Program(name, block["code"], dict(files)))
    return found


def prose(page):
    return CODE_SPAN.sub("", FENCED.sub("", page.read_text("utf-8")))


def anchors(page):
    """The fragments that a page's headings answer to, as code hosts derive them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page, link):
    path, _, fragment = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not fragment or target.suffix != ".md" or fragment in anchors(target)


def by_path(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    "program", [p for page in PAGES for p in programs(page)], ids=lambda program: program.name
)
def test_program_runs(program, tmp_path):
    for name, text in program.files.items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "program.py").write_text(program.code, "utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{program.name}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=by_path)
def test_every_marked_block_is_understood(page):
    """A comment with a slip in it must not take its block out of the run."""
    text = page.read_text("utf-8")
    assert len(COMMENT.findall(text)) == len(BLOCK.findall(text))


@pytest.mark.parametrize("page", PAGES + OTHERS, ids=by_path)
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if not leads_somewhere(page, link)] == []
