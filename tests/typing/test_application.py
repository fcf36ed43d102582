"""The application whose types `./build.sh check` checks does what it says."""

from pathlib import Path

import pytest

from tests.typing import application


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    application.main(tmp_path)
