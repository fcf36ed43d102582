"""`divebell ask --journal` and `--resume`, and `divebell replay`: the real commands, against a local server that plays
the models."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat_server import KEY, ChatServer
from tests.support.command import Done, run, start
from tests.support.journal_lines import drop_checks

QUESTION = "What is the code?"
FIND = "```repl\nprint(sorted(llm_query_batched(['first', 'second'])), len(context))\n```"
CHILD = "```repl\nprint(rlm_query('child'))\n```"
SLOW = "```repl\nprint(llm_query('slow'))\n```"


def play(request: dict[str, Any]) -> str:
    last = request["messages"][-1]["content"]
    if request["model"] == "sub":
        return "FINAL(of the child)" if len(request["messages"]) > 1 else f"re {last}"
    turns = sum(message["role"] == "assistant" for message in request["messages"])
    return (FIND, CHILD, "FINAL(4711)")[min(turns, 2)]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(play, models={"root", "sub"}) as running:
        yield running


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "log.txt"
    path.write_text("hay " * 100, "utf-8")
    return path


def models(server: ChatServer) -> tuple[str, ...]:
    return "--model", "root", "--sub-model", "sub", "--base-url", server.url


def ask(server: ChatServer, *arguments: str) -> Done:
    done = run("ask", QUESTION, *arguments, *models(server), env={"OPENAI_API_KEY": KEY})
    assert KEY not in done.stdout + done.stderr
    return done


@pytest.fixture
def journal(server: ChatServer, text_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run.journal"
    done = ask(server, "--context", str(text_file), "--journal", str(path), "--quiet")
    assert (done.status, done.stdout) == (0, "4711\n")
    return path


@pytest.mark.slow
def test_a_run_is_proved_to_be_the_same(server: ChatServer, journal: Path) -> None:
    asked = len(server.received)
    done = run("replay", str(journal), env={"OPENAI_API_KEY": ""})
    assert (done.status, len(server.received)) == (0, asked)
    assert done.stdout.startswith("identical: 3 turns, 2 cells, 6 calls, price unknown, in ")
    assert "re first" in done.stderr  # shown as ask shows it
    quiet = run("replay", str(journal), "--quiet")
    assert quiet.stderr == ""
    told = json.loads(run("replay", str(journal), "--json").stdout)
    assert told.pop("seconds") > 0
    assert told == {
        "identical": True, "turns": 3, "cells": 2, "calls": 6, "dollars": told["dollars"], "unpriced_calls": 6, "answer": "4711",
        "status": "answered",
    }  # fmt: skip


@pytest.mark.slow
def test_the_first_difference_is_shown(journal: Path) -> None:
    drop_checks(journal)
    journal.write_text(journal.read_text().replace('"stdout":"of the child', '"stdout":"of a \\u001b[31mchild'))
    done = run("replay", str(journal), "--quiet")
    assert (done.status, done.stdout) == (1, "")
    assert done.sentence.startswith("not identical: stdout of cell 2 of run 0: recorded 'of a \\x1b[31mchild")
    assert "\x1b" not in done.stderr
    told = run("replay", str(journal), "--json")
    assert told.status == 1
    assert json.loads(told.stdout)["identical"] is False


@pytest.mark.slow
def test_a_run_that_failed_is_the_same_when_it_fails_so_again(
    server: ChatServer, text_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run.journal"
    done = ask(server, "-c", str(text_file), "--journal", str(path), "--calls", "2", "--on-exhausted", "raise")
    assert done.status == 3
    again = run("replay", str(path), "--quiet")
    assert again.status == 0
    assert again.stdout.startswith("identical: 2 turns")
    assert "it failed as it did the first time: " in again.stdout


@pytest.mark.slow
def test_goes_on_with_a_model_from_a_turn_on(server: ChatServer, journal: Path) -> None:
    asked = len(server.received)
    done = run("replay", str(journal), "--from-turn", "2", *models(server), env={"OPENAI_API_KEY": KEY})
    assert (done.status, done.stdout) == (0, "4711\n")
    assert [received.json["model"] for received in server.received[asked:]] == ["root", "sub", "root"]


@pytest.mark.slow
def test_goes_on_with_another_model_at_its_own_price(server: ChatServer, journal: Path) -> None:
    """The recorded model's price says nothing of the one that is asked now."""
    options = ("--from-turn", "3", "--model", "sub", "--base-url", server.url, "--budget", "0.01")
    unknown = run("replay", str(journal), *options, env={"OPENAI_API_KEY": KEY})
    assert unknown.status == 2
    assert "the price of 'sub' is not known" in unknown.sentence
    known = run("replay", str(journal), *options, "--rate", "sub=0.1/0.1", env={"OPENAI_API_KEY": KEY})
    assert (known.status, known.stdout) == (0, "of the child\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--from-turn", "2"), "takes both"),
        (("--model", "root"), "takes both"),
        (("--from-turn", "9", "--model", "root", "--base-url", "http://localhost:1"), "had 3 turns"),
        (("--context", "nowhere.txt"), "nowhere.txt"),
    ],
)
def test_options_that_make_no_sense(journal: Path, options: tuple[str, ...], says: str) -> None:
    done = run("replay", str(journal), *options)
    assert done.status == 2
    assert says in done.sentence


@pytest.mark.slow
def test_another_context(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("straw")
    done = run("replay", str(journal), "--context", str(tmp_path / "other.txt"))
    assert done.status == 2
    assert "not the context" in done.sentence


@pytest.mark.slow
def test_a_trace_is_not_a_journal(tmp_path: Path) -> None:
    from divebell.trace.writer import TraceWriter

    with TraceWriter(tmp_path / "trace.jsonl"):
        pass
    done = run("replay", str(tmp_path / "trace.jsonl"))
    assert done.status == 2
    assert "give the run's journal" in done.sentence


@pytest.mark.slow
def test_a_killed_ask_is_resumed(server: ChatServer, text_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    options = ("-c", str(text_file), "--resume", str(path), *models(server), "--quiet")
    process = start("ask", QUESTION, *options, env={"OPENAI_API_KEY": KEY})
    until = time.monotonic() + 300
    while time.monotonic() < until and not (path.exists() and b'"name":"turn 1","request"' in path.read_bytes()):
        time.sleep(0.005)
    process.kill()
    process.communicate()
    asked = [received.headers["idempotency-key"] for received in server.received]
    done = run("ask", QUESTION, *options, env={"OPENAI_API_KEY": KEY})
    assert (done.status, done.stdout) == (0, "4711\n")
    first_turns = [
        received
        for received in server.received
        if received.json["model"] == "root" and len(received.json["messages"]) == 2
    ]
    assert len(first_turns) == 1
    assert len({received.headers["idempotency-key"] for received in server.received}) == 6
    assert asked
    assert run("replay", str(path), "--quiet").status == 0


@pytest.mark.slow
def test_ask_does_not_write_over_a_file(server: ChatServer, text_file: Path, journal: Path) -> None:
    before = journal.read_bytes()
    done = ask(server, "--context", str(text_file), "--journal", str(journal))
    assert done.status != 0
    assert "already" in done.sentence
    assert journal.read_bytes() == before
    both = ask(server, "-c", str(text_file), "--journal", str(journal), "--resume", str(journal))
    assert both.status == 2
    assert "not both" in both.sentence
