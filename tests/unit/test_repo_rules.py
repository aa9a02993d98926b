"""Rules of the house that no linter knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bandwidth", "sfu", "signaling", "recorder", "web")
SOFT_LIMIT_LINES = 400


def _sources(*suffixes: str) -> list[Path]:
    found = [
        path
        for package in PACKAGES
        for suffix in suffixes
        for path in (ROOT / package).rglob(f"*{suffix}")
        if not {"vendor", "target", "__pycache__"} & set(path.parts)
    ]
    assert found
    return sorted(found)


def _is_rust_test(path: Path) -> bool:
    return (
        (ROOT / "sfu/engine/tests") in path.parents
        or path.name == "tests.rs"
        or path.name.endswith("_tests.rs")
    )


def test_product_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in _sources(".py", ".rs", ".js", ".css")
        if not _is_rust_test(path) and (lines := path.read_text().count("\n")) > SOFT_LIMIT_LINES
    }
    assert long == {}


def test_only_the_binding_names_pyo3() -> None:
    naming = {
        path.relative_to(ROOT / "sfu/engine/src").parts[0]
        for path in (ROOT / "sfu/engine/src").rglob("*.rs")
        if "pyo3" in path.read_text()
    }
    assert naming <= {"python.rs", "python"}


def test_unit_tests_never_wait_nor_read_the_clock() -> None:
    forbidden = re.compile(r"\b(time\.(sleep|time|monotonic)|asyncio\.sleep\((?!0\)))")
    offending = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "tests/unit").rglob("*.py"))
        if path != Path(__file__).resolve()
        for line in path.read_text().splitlines()
        if forbidden.search(line)
    ]
    assert offending == []


def test_tests_are_no_packages() -> None:
    """A `tests/web/__init__.py` would hide the real `web`."""
    packages = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("__init__.py")}
    assert packages == {"tests/support/testkit/__init__.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_its_map(package: str) -> None:
    assert (ROOT / package / "README.md").is_file()


def test_links_in_documents_resolve() -> None:
    broken = []
    for document in [
        ROOT / "README.md",
        *(p for name in PACKAGES for p in (ROOT / name).rglob("*.md")),
    ]:
        if {"vendor", "target"} & set(document.parts):
            continue
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text()):
            if not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)} -> {target}")
    assert broken == []


def test_lock_file_names_every_dependency() -> None:
    locked = {
        re.sub(r"[-_.]+", "-", name).lower()
        for name in re.findall(
            r"^([A-Za-z0-9_.-]+)==", (ROOT / "requirements.lock").read_text(), re.M
        )
    }
    project = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[(.*?)^\]", project, re.M | re.S)
    assert block is not None
    wanted = set(re.findall(r'"([A-Za-z0-9_-]+)', block.group(1)))
    assert wanted <= locked


def test_no_absolute_machine_paths() -> None:
    pattern = re.compile(r"(?<![\w.:/])/(work|root|home/\w+)/")
    offending = [
        str(path.relative_to(ROOT))
        for path in _sources(".py", ".rs", ".js", ".md", ".html", ".toml")
        if pattern.search(path.read_text())
    ]
    assert offending == []
