"""What tests can ask for: golden files that ``pytest --renew-golden`` writes anew, and long tests for ``pytest --paper``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="write golden files anew instead of comparing with them")
    parser.addoption("--paper", action="store_true", help="also run the paper study in miniature, an hour on two cores")


@pytest.fixture(scope="session")
def an_hour(request: pytest.FixtureRequest) -> None:
    """Skip what takes so long unless it is asked for."""
    if not request.config.getoption("--paper"):
        pytest.skip("takes an hour; --paper runs it")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a golden file, or write the file anew."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--renew-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path} is missing; look at what pytest --renew-golden writes"
        assert text == path.read_text(encoding="utf-8"), f"{path} differs; look at what pytest --renew-golden changes"

    return compare
