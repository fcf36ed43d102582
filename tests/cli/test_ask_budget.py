"""`divebell ask` with somebody's money: a ledger that several commands share, tenants and their caps, what happens at
the end of a budget, and a command that is killed in the middle of a call."""

import json
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat_server import KEY, ChatServer, Reply
from tests.support.command import Done, run, start

pytestmark = pytest.mark.slow


ANSWER_TOKENS = 100
CALL = Decimal("0.001")
"""What a sub-call costs: 100 tokens at ten dollars a million. Its hold is 0.04096 dollars, or 0.00256 if it must be."""
LEAST_HOLD = Decimal("0.00256")
RATES = ("--rate", "root=0/0", "--rate", "sub=0/10")


def play(request: dict[str, Any]) -> str | Reply:
    """A root that asks for as many sub-calls as its question says, and then answers."""
    messages = request["messages"]
    last = str(messages[-1]["content"])
    if request["model"] == "sub" and last == "overbilling":
        return Reply(text="y", usage={"prompt_tokens": 10**6, "completion_tokens": 10**6, "total_tokens": 2 * 10**6})
    if request["model"] == "sub":
        return Reply(text="y" * 4 * ANSWER_TOKENS, delay_seconds=60 if last == "hang" else 0)
    said = "\n".join(str(message["content"]) for message in messages)
    if "best answer" in last:
        return "FINAL(best so far)"
    if "for ever" in said:
        return "```repl\nprint('working')\n```"
    if "overbilling" in said:
        return "```repl\nprint(answer['content'] + llm_query('overbilling'))\nanswer['content'] = 'a draft'\n```"
    asked = re.search(r"(\d+) calls of (\w+)", said)
    if asked is None or len(messages) > 2:
        return "FINAL(done)"
    return f"```repl\ntry:\n    llm_query_batched(['{asked[2]}'] * {asked[1]})\nexcept BudgetExceeded as no:\n    print(no)\n```"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(play, models={"root", "sub"}) as running:
        yield running


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def command(server: ChatServer, tmp_path: Path) -> list[str]:
    """What all commands here begin with, but for the question."""
    text = tmp_path / "text.txt"
    text.write_text("some text", "utf-8")
    return ["--context", str(text), "--model", "root", "--sub-model", "sub", "--base-url", server.url, *RATES]


def ask(command: list[str], question: str, *arguments: str) -> Done:
    done = run("ask", question, *command, *arguments, env={"OPENAI_API_KEY": KEY})
    assert "Traceback" not in done.stderr
    return done


def tenants(ledger: Path) -> dict[str, Any]:
    done = run("ledger", "tenants", "--json", "--file", str(ledger))
    assert done.status == 0, done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)["tenants"]}


def test_a_tenants_day_goes_over_its_commands_and_is_nobody_elses(command: list[str], ledger: Path) -> None:
    """The caps are named once; what was spent is remembered."""
    for_acme = ("--ledger", str(ledger), "--tenant", "acme", "-q")
    assert ask(command, "2 calls of x", *for_acme, "--per-day", "0.05", "--total", "1").stdout == "done\n"
    assert ask(command, "3 calls of x", *for_acme).stdout == "done\n"
    ask(command, "1 calls of x", "--ledger", str(ledger), "--tenant", "other", "-q")
    told = tenants(ledger)
    assert Decimal(told["acme"]["today"]["spent"]["dollars"]) == 5 * CALL
    assert Decimal(told["acme"]["today"]["cap"]["dollars"]) == Decimal("0.05")
    assert Decimal(told["acme"]["total"]["left"]["dollars"]) == 1 - 5 * CALL
    assert Decimal(told["other"]["today"]["spent"]["dollars"]) == CALL


def test_commands_at_once_never_spend_more_than_their_tenants_cap_together(
    command: list[str], server: ChatServer, ledger: Path
) -> None:
    cap = Decimal("0.03")
    options = ("--ledger", str(ledger), "--tenant", "acme", "--total", str(cap), "-q")
    running = [start("ask", "20 calls of x", *command, *options, env={"OPENAI_API_KEY": KEY}) for _ in range(3)]
    ended = [each.communicate(timeout=300) for each in running]
    assert [each.returncode for each in running] == [0, 0, 0], ended
    spent = Decimal(tenants(ledger)["acme"]["total"]["spent"]["dollars"])
    assert spent == CALL * sum(received.json["model"] == "sub" for received in server.received)
    assert cap - LEAST_HOLD < spent <= cap
    assert Decimal(tenants(ledger)["acme"]["total"]["held"]["dollars"]) == 0


def test_a_command_killed_in_the_middle_of_a_call_has_spent_it_once_that_is_reconciled(
    command: list[str], server: ChatServer, ledger: Path
) -> None:
    options = ("--ledger", str(ledger), "--tenant", "acme", "--total", "0.05", "-q")
    running = start("ask", "1 calls of hang", *command, *options, env={"OPENAI_API_KEY": KEY})
    until = time.monotonic() + 300  # tells a hang from a busy machine
    while not any(received.json["model"] == "sub" for received in server.received):
        assert time.monotonic() < until
        time.sleep(0.01)
    running.kill()
    running.communicate()
    held = run("ledger", "holds", "--file", str(ledger))
    assert "sub" in held.stdout
    assert f"{running.pid} died" in held.stdout
    done = run("ledger", "reconcile", "--file", str(ledger))
    assert "1 call in flight posted as spent, $0.040960" in done.stdout
    assert "nothing to reconcile" in run("ledger", "reconcile", "--file", str(ledger)).stdout
    assert Decimal(tenants(ledger)["acme"]["total"]["left"]["dollars"]) == Decimal("0.05") - Decimal("0.04096")
    assert ask(command, "1 calls of x", "--ledger", str(ledger), "--tenant", "acme", "-q").stdout == "done\n"


def test_at_the_end_of_a_budget_the_best_answer_so_far_and_why(command: list[str]) -> None:
    done = ask(command, "work for ever", "--calls", "3")
    assert (done.status, done.stdout) == (0, "best so far\n")
    assert "the budget of 3 calls (run " in done.stderr
    assert "is used up: this is the model's best answer so far" in done.stderr
    told = json.loads(ask(command, "work for ever", "--calls", "3", "--json").stdout)
    assert (told["status"], told["stopped_by"]["limit"], told["stopped_by"]["cap"]) == ("exhausted", "calls", 3)


def test_the_end_of_a_budget_that_a_provider_exceeded_names_no_amount(command: list[str]) -> None:
    done = ask(command, "overbilling", "--budget", "1")
    assert (done.status, done.stdout) == (3, "a draft\n")
    assert re.search(r"^the budget \(run \w+\) takes no more calls$", done.stderr, re.MULTILINE)
    assert "$None" not in done.stderr


def test_or_a_failure_if_that_is_asked_for(command: list[str]) -> None:
    done = ask(command, "work for ever", "--calls", "3", "--on-exhausted", "raise")
    assert (done.status, done.stdout) == (3, "")
    assert "3 calls of the budget are used" in done.sentence
    done = ask(command, "work for ever", "--max-iterations", "2", "--on-exhausted", "raise")
    assert (done.status, done.sentence) == (1, "no answer after 2 turns: --max-iterations allows more")


def test_a_tenant_with_nothing_left_is_told_so_before_any_call(
    command: list[str], server: ChatServer, ledger: Path
) -> None:
    options = ("--ledger", str(ledger), "--tenant", "acme", "--total", "0", "--budget", "0.10")
    done = ask(command, "1 calls of x", *options)
    assert (done.status, done.stdout) == (3, "")
    assert done.sentence == "nothing is left for a budget of $0.1: $0 of $0 is spent by tenant 'acme' (acme)"
    assert not server.received


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tenant", "acme"], "--tenant needs --ledger FILE"),
        (["--per-day", "5"], "name one with --tenant NAME --ledger FILE"),
        (["--ledger", "{ledger}", "--total", "5"], "name one with --tenant NAME --ledger FILE"),
        (["--ledger", "{ledger}", "--tenant", ""], "a tenant's name is a printable text"),
        (["--ledger", "{ledger}", "--tenant", "acme "], "without spaces at its ends"),
        (["--ledger", "{ledger}", "--tenant", "acme", "--per-day", "1e400"], "--per-day: dollars must be from 0 to"),
        (["--ledger", "{ledger}", "--tenant", "acme", "--total", "5 dollars"], "--total: dollars must be a number"),
        (["--ledger", "{folder}"], "{folder} is a folder: name a file in it, such as {folder}/ledger.db"),
        (["--ledger", "{folder}/nowhere/ledger.db"], "there is no folder {folder}/nowhere for the ledger: make it"),
        (["--ledger", "{folder}/text.txt"], "cannot be read as a ledger (file is not a database): name another file"),
        (["--on-exhausted", "beg"], "'answer', 'raise'"),
    ],
)
def test_bad_input(
    command: list[str], server: ChatServer, ledger: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    def placed(text: str) -> str:
        return text.replace("{ledger}", str(ledger)).replace("{folder}", str(tmp_path))

    done = ask(command, "1 calls of x", *map(placed, arguments))
    assert (done.status, done.stdout) == (2, ""), done.stderr
    assert placed(says) in done.sentence
    assert not server.received
