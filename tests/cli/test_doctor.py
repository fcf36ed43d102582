"""`divebell doctor`, and what the command line says of itself."""

from pathlib import Path

import pytest

from divebell import __version__
from tests.support.chat_server import KEY
from tests.support.command import Done, run


@pytest.fixture(scope="module")
def done() -> Done:
    return run("doctor", env={"OPENAI_API_KEY": KEY})


@pytest.mark.slow
def test_this_machine_is_well(done: Done) -> None:
    assert (done.status, done.stderr) == (0, "")
    assert "problem" not in done.stdout
    for what in ("machine", "Python", "wasmtime", "sharing pages", "killing a cell", "cache", "guest", "fresh sandbox"):
        assert what in done.stdout


@pytest.mark.slow
def test_tells_that_there_is_a_key_but_not_which(done: Done) -> None:
    assert KEY not in done.stdout
    assert "OPENAI_API_KEY" in done.stdout
    assert "not set" in run("doctor").stdout


@pytest.mark.slow
def test_no_escape_codes_in_a_pipe(done: Done) -> None:
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_a_cache_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    done = run("doctor", env={"DIVEBELL_CACHE": str(tmp_path / "file")})
    assert done.status == 1
    assert str(tmp_path / "file") in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_cache_that_cannot_be_used_does_not_hide_the_rest(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    assert "thread stack" in run("doctor", env={"DIVEBELL_CACHE": str(tmp_path / "file")}).stdout


def test_version() -> None:
    assert run("--version") == Done(0, f"divebell {__version__}\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["", "ask", "exec", "demo", "prices", "doctor"])
def test_help(command: str) -> None:
    done = run(*([command] if command else []), "--help")
    assert (done.status, done.stderr) == (0, "")
    assert "Usage: divebell" in done.stdout


@pytest.mark.slow
def test_an_unknown_command() -> None:
    done = run("nonsense")
    assert (done.status, done.stdout) == (2, "")
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr
