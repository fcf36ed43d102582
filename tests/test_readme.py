"""The README's examples run as they stand."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
TESTED = re.findall(r"<!-- tested -->\n```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", TESTED, ids=range(len(TESTED)))
def test_example(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # as in a project of one's own: nothing of the repository is there
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_there_are_examples() -> None:
    assert len(TESTED) >= 3
