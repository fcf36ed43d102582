"""`divebell trace`: the real command on traces that were written, and on files that are none."""

import stat
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.traces import hostile, lively, small, write

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def test_the_tree_shows_what_happened_and_what_it_cost(file: Path) -> None:
    done = run("trace", str(write(file, lively(40))))
    assert (done.status, done.stderr) == (0, "")
    first = done.stdout.splitlines()[0]
    assert first.startswith("run  Which contracts end before 2027, and what")
    assert "47 calls" in first
    for said in (
        "├── turn 1  (gpt-5, 11 calls",
        "# Read every contract in parts, and ask about each.",
        "… and 2 more",
        "call 1  Which contracts in this",
        "… 4 more calls  (4,960",
        "child 0.1  What does leaving contract 000417 early cost?",
        "KeyError: 'no such contract'  failed",
        "└── answer 31 contracts end before 2027.",
    ):
        assert said in done.stdout, said
    assert "contract 000009" not in done.stdout, "the ninth call is only counted"
    assert "\x1b" not in done.stdout, "a pipe gets no colours"


def test_full_shows_every_body(file: Path) -> None:
    done = run("trace", str(write(file, lively(40))), "--full")
    assert done.stdout.count("The term ends on") == 40
    assert "more calls" not in done.stdout
    assert "I split the context into parts" in done.stdout
    assert done.stdout.rstrip().endswith("the dearest is contract 000417.")


def test_a_pipe_gets_long_lines_as_they_are(file: Path) -> None:
    long = "word " * 3_000 + "end"
    assert long in run("trace", str(write(file, hostile(long))), "--full").stdout


def test_control_characters_reach_no_terminal(file: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202etxt.exe\r[bold]markup[/bold]"
    write(file, hostile(evil))
    for option in ((), ("--full",)):
        done = run("trace", str(file), *option)
        assert done.status == 0, done.stderr
        assert not set(done.stdout) & set("\x1b\x07\x9b\u202e\r")
        assert "[bold]markup[/bold]" in done.stdout, "brackets are text, not markup"


def test_redacted_and_off_are_shown_for_what_they_are(tmp_path: Path) -> None:
    redacted = run("trace", str(write(tmp_path / "1", small(), level="redacted"))).stdout
    assert "run  [32 characters, redacted: " in redacted
    off = run("trace", str(write(tmp_path / "2", small(), level="off"))).stdout
    assert off.splitlines()[0].startswith("run  (900 + 12 tokens, $0.00115")


def test_a_trace_that_was_cut_off_says_so(file: Path) -> None:
    whole = write(file, lively(40)).read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    done = run("trace", str(file))
    assert done.status == 0
    assert done.stdout.startswith("the last line of the trace was broken off")
    assert "unfinished" in done.stdout


def test_a_trace_without_events_says_so(file: Path) -> None:
    done = run("trace", str(write(file, [])))
    assert (done.status, done.stdout) == (0, "the trace has no events\n")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"hello\n", "line 1: this is not a line of a trace"),
        (b'{"schema":"divebell.trace","version":99}\n', "the trace has version 99"),
    ],
    ids=["missing", "empty", "words", "version"],
)
def test_a_file_that_is_no_trace_is_one_sentence_and_status_2(file: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        file.write_bytes(content)
    done = run("trace", str(file))
    assert (done.status, done.stdout) == (2, "")
    assert says in done.sentence


def test_html_writes_one_page_for_this_user_alone(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("an older page")
    done = run("trace", str(write(file, small())), "--html", str(page))
    assert (done.status, done.stdout, done.stderr) == (0, "", f"wrote {page}\n")
    assert page.read_text("ascii").startswith("<!doctype html>")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert set(tmp_path.iterdir()) == {page, file}


def test_html_does_not_write_over_the_trace(file: Path) -> None:
    before = write(file, small()).read_bytes()
    done = run("trace", str(file), "--html", str(file))
    assert done.status == 2
    assert "would overwrite the trace" in done.sentence
    assert file.read_bytes() == before


def test_html_that_cannot_be_written_is_one_sentence(file: Path, tmp_path: Path) -> None:
    done = run("trace", str(write(file, small())), "--html", str(tmp_path / "nowhere" / "page.html"))
    assert done.status == 2
    assert "cannot be written: No such file" in done.sentence
