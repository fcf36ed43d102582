"""Locks on files."""

import os
from pathlib import Path

from divebell_bridge.money.locks import try_lock


def test_a_lock_is_taken_once_and_free_again_when_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    first, second = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    assert try_lock(first)
    assert not try_lock(second)
    os.close(first)
    assert try_lock(second)
    os.close(second)
