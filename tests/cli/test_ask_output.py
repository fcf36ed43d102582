"""An answer that was paid for reaches the person, whatever becomes of the terminal, the pipe or the disk."""

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.chat_server import KEY, ChatServer, Reply
from tests.support.command import COMMAND, environment

pytestmark = pytest.mark.slow


ANSWER = "the answer is 4711"
FULL = Path("/dev/full")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(lambda _request: f"FINAL({ANSWER})", models={"root"}) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text("a text")
    return tmp_path


def ask(
    server: ChatServer, folder: Path, *more: str, stdout: "int | IO[bytes]" = subprocess.PIPE, **options: Any
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [COMMAND, "ask", "What?", "-c", "text.txt", "-m", "root", "--base-url", server.url, *more],
        cwd=folder, env=environment({"OPENAI_API_KEY": KEY}), stdin=subprocess.DEVNULL, stdout=stdout,
        stderr=options.pop("stderr", subprocess.PIPE), timeout=600, check=False, **options,
    )  # fmt: skip


def kept_answers(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.glob("divebell-answer-*.txt")]


def test_a_reader_of_stderr_that_leaves_costs_nothing(server: ChatServer, folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = ask(server, folder, stderr=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stdout.decode()) == (0, f"{ANSWER}\n")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_stderr_costs_nothing(server: ChatServer, folder: Path) -> None:
    with FULL.open("wb") as full:
        done = ask(server, folder, stderr=full)
    assert (done.returncode, done.stdout.decode()) == (0, f"{ANSWER}\n")


def test_a_closed_stderr_costs_nothing_and_is_not_a_file_of_the_run(server: ChatServer, folder: Path) -> None:
    """The first file that is opened would get the number of standard error, and what is said there written into it."""
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", str(COMMAND), "ask", "What?", "-c", "text.txt", "-m", "root"]
    done = subprocess.run(
        [*command, "--base-url", server.url, "--journal", "run.journal", "--trace", "run.trace"],
        cwd=folder, env=environment({"OPENAI_API_KEY": KEY}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        timeout=600, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.decode()) == (0, f"{ANSWER}\n")
    replayed = subprocess.run(
        [COMMAND, "replay", "run.journal", "-q"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert replayed.stdout.startswith(b"identical: ")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("more", [[], ["--json"], ["--quiet"]])
def test_an_answer_that_cannot_be_written_is_kept_in_a_file(server: ChatServer, folder: Path, more: list[str]) -> None:
    with FULL.open("wb") as full:
        done = ask(server, folder, *more, stdout=full)
    (kept,) = kept_answers(folder)
    assert ANSWER in kept
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"it is in divebell-answer-" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_of_the_answer_that_leaves_early_finds_it_in_a_file(server: ChatServer, folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = ask(server, folder, stdout=writing)
    finally:
        os.close(writing)
    assert kept_answers(folder) == [f"{ANSWER}\n"]
    assert done.returncode == 1


def test_a_closed_stdout_is_refused_before_anything_is_paid(server: ChatServer, folder: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", str(COMMAND), "ask", "What?", "-c", "text.txt", "-m", "root"]
    done = subprocess.run(
        [*command, "--base-url", server.url], cwd=folder, env=environment({"OPENAI_API_KEY": KEY}),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "divebell: standard output is closed, and the answer goes there: redirect it into a file\n"
    )
    assert server.received == []


def test_the_answer_comes_before_what_it_cost(server: ChatServer, folder: Path) -> None:
    done = ask(server, folder, stderr=subprocess.STDOUT)
    lines = done.stdout.decode().splitlines()
    assert lines.index(ANSWER) < next(number for number, line in enumerate(lines) if " model call" in line)


def test_the_status_line_goes_on_while_the_model_thinks(server: ChatServer, folder: Path) -> None:
    server.policy = lambda _request: Reply(text=f"FINAL({ANSWER})", delay_seconds=3)
    terminal, child = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "ask", "What?", "-c", "text.txt", "-m", "root", "--base-url", server.url],
        cwd=folder, env=environment({"OPENAI_API_KEY": KEY, "TERM": "xterm"}), stdin=child,
        stdout=subprocess.PIPE, stderr=child,
    )  # fmt: skip
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that the other side has closed it
            break
        if not part:
            break
        shown += part
    stdout, _ = process.communicate(timeout=600)
    os.close(terminal)
    assert stdout.decode() == f"{ANSWER}\n"
    for seconds in (1, 2):
        assert f"the model thinks {seconds} s".encode() in shown
