"""The application whose types `./build.sh check` checks does what it says."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import application


def test_it_runs(tmp_path: Path) -> None:
    application.main(tmp_path)
