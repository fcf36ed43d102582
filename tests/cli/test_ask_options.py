"""`divebell ask` has what a run has, and speaks of its own options, not of Python's."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from divebell import Limits
from divebell.cli.wording import FLAGS, use_option_names
from divebell.options import RENAMED, Options
from divebell.wiring import Wiring
from tests.support.chat_server import KEY, ChatServer
from tests.support.command import Done, run

pytestmark = pytest.mark.slow


NOT_TYPED = {
    "models": "one root and one sub-model can be named",
    "tools": "they are functions of an application",
    "api_key": "a key belongs into the environment, not into a list of processes",
    "engine": "the command has its own",
    "on_event": "the command shows the events itself",
    "trace_folder": "--trace names the file",
    "tool_seconds": "there are no tools",
}
BEARS_ANOTHER_NAME = {"rates": "--rate", "retries": "--attempts", "limits": "--cell-seconds"}


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(lambda _request: "FINAL(yes)", models={"root"}) as made:
        yield made


def ask(server: ChatServer, *arguments: str, stdin: str | bytes = "") -> Done:
    return run(
        *("ask", "What?", "-m", "root", "--base-url", server.url, *arguments),
        stdin=stdin, env={"OPENAI_API_KEY": KEY},
    )  # fmt: skip


@pytest.fixture(scope="module")
def help_text() -> str:
    return run("ask", "--help", env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).stdout


@pytest.mark.parametrize(
    "option",
    [option.name for kind in (Options, Wiring) for option in dataclasses.fields(kind) if option.name not in NOT_TYPED],
)
def test_every_option_of_a_run_can_be_typed(option: str, help_text: str) -> None:
    assert BEARS_ANOTHER_NAME.get(option, f"--{option.replace('_', '-')}") in help_text


def test_options_come_in_groups(help_text: str) -> None:
    for group in ("Context", "Models", "Limits of the run", "Money of a tenant", "Sandbox", "Files to write", "Output"):
        assert f"─ {group} ─" in help_text


def test_options_reach_the_model(server: ChatServer, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("xyzzy plugh")
    done = ask(
        server,
        "-c",
        str(tmp_path / "text.txt"),
        "--temperature",
        "0.25",
        "--max-output-tokens",
        "777",
        "--prompt",
        "small",
        "--no-show-preview",
    )
    assert done.status == 0
    request = server.received[0].json
    assert (request["temperature"], request["max_completion_tokens"]) == (0.25, 777)
    assert "xyzzy" not in json.dumps(request["messages"])


def test_files_are_read_as_one_says(server: ChatServer, tmp_path: Path) -> None:
    code = "```repl\nFINAL(f'{type(context).__name__} {context!r}'[:60])\n```"
    server.policy = lambda _request: code
    file = tmp_path / "data.json"
    file.write_bytes('{"a": "é"}'.encode("cp1252"))
    assert ask(server, "-c", str(file), "--as-text", "--encoding", "cp1252").stdout == 'str \'{"a": "é"}\'\n'
    assert ask(server, "-c", str(file), "--binary").stdout == 'bytes b\'{"a": "\\xe9"}\'\n'
    assert ask(server, "-c", "-", "--binary", stdin=b"\xff\x00").stdout == "bytes b'\\xff\\x00'\n"
    assert ask(server, "-c", "-", "--encoding", "utf-16-le", stdin="hé".encode("utf-16-le")).stdout == "str 'hé'\n"
    other = tmp_path / "other.bin"
    other.write_bytes(b"\x00\x01")
    both = ask(server, "-c", str(file), "-c", str(other), "--binary")
    assert both.stdout.startswith("dict {")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--binary", "--as-text"], "--binary reads bytes: leave out --as-text and --encoding"),
        (["--encoding", "no-such"], "there is no text encoding 'no-such': try utf-8, cp1252 or latin-1"),
        (["--metadata", "customer"], "--metadata must look like customer=acme, not 'customer'"),
        (["--metadata", "a=1", "--metadata", "a=2"], "--metadata names 'a' twice"),
        (["--context-window-tokens", "1000000000"], "--context-window-tokens must be a whole number from 1 to 100,000,000, not 1000000000"),
        (["--seconds", "inf"], "--seconds: seconds must be a number over 0, not inf"),
        (["--budget", "much"], "--budget: dollars must be a number such as \"0.30\", not 'much'"),
        (["--attempts", "1000"], "--attempts must be a whole number from 1 to 100"),
        (["--max-concurrent-calls", "99999"], "--max-concurrent-calls must be a whole number from 1 to 10,000, not 99999"),
        (["--metadata", "a=" + "x" * 600], f"--metadata a must be a text of up to 512 characters, not '{'x' * 99}"),
        (["--calls", "none"], "Invalid value for '--calls': Input should be a valid integer, unable to parse string "
                              "as an integer. Try --help."),
        (["--seconds", "inf", "--attempts", "1000"], "--attempts must be a whole number from 1 to 100"),
        (["--memo", "tenant"], "--memo tenant needs --tenant NAME --ledger FILE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence_that_names_options(
    server: ChatServer, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "text.txt").write_text("a text")
    done = ask(server, "-c", str(tmp_path / "text.txt"), *arguments)
    assert (done.status, done.stderr) == (2, f"divebell: {sentence}\n")
    assert server.received == []


def test_a_folder_is_not_read_as_bytes(server: ChatServer, tmp_path: Path) -> None:
    done = ask(server, "-c", str(tmp_path), "--binary")
    assert (done.status, done.stderr) == (2, f"divebell: --binary is for files, and {tmp_path} is not one\n")


def test_refusals_name_what_a_person_can_type(server: ChatServer, tmp_path: Path) -> None:
    binary, broken = tmp_path / "data.bin", tmp_path / "data.json"
    binary.write_bytes(bytes(range(256)) * 100)
    broken.write_text("{'a': 1}")
    python = re.compile(r"\b\w+\(|\b[a-z]+_[a-z_]+\b|\w=")
    for file, option in ((binary, "--binary"), (broken, "--as-text")):
        done = ask(server, "-c", str(file))
        assert option in done.stderr
        assert not python.search(done.stderr.replace(str(tmp_path), "")), done.stderr
        assert ask(server, "-c", str(file), option).status == 0  # and it helps


@pytest.mark.parametrize(
    ("python", "terminal"),
    [
        ("set context_window_tokens= or max_output_tokens= lower", "set --context-window-tokens or --max-output-tokens lower"),
        ("no answer after 20 turns: max_iterations allows more", "no answer after 20 turns: --max-iterations allows more"),
        ("set base_url to the new address", "set --base-url to the new address"),
        ("Limits.cell_seconds must be a number", "--cell-seconds must be a number"),
        ("the concurrency of a run", "the concurrency of a run"),
        ("child_instructions must be a text", "--child-instructions must be a text"),
        ("the seed of a small budget is in the trace", "the seed of a small budget is in the trace"),
        ("cannot read my_max_iterations.txt", "cannot read my_max_iterations.txt"),
        (
            'cannot be held: give its rate, as rates={"m": Rate.per_million("0.25", "2.00")} or --rate m=0.25/2.00',
            "cannot be held: give its rate, as --rate m=0.25/2.00",
        ),
    ],
)  # fmt: skip
def test_sentences_are_put_into_a_terminals_words(python: str, terminal: str) -> None:
    assert use_option_names(python) == terminal


def test_every_flag_of_the_wording_is_there(help_text: str) -> None:
    assert all(flag in help_text for flag in FLAGS.values())
    known = {option.name for kind in (Options, Wiring, Limits) for option in dataclasses.fields(kind)}
    assert set(FLAGS) <= known


def test_instructions_are_typed_or_read_from_a_file(server: ChatServer, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a text")
    (tmp_path / "words.txt").write_text("Answer in Finnish.")
    for given, words in (("Be brief.", "Be brief."), (f"@{tmp_path}/words.txt", "Answer in Finnish.")):
        assert ask(server, "-c", str(tmp_path / "text.txt"), "--instructions", given).status == 0
        assert words in json.dumps(server.received[-1].json["messages"])
    missing = ask(server, "-c", str(tmp_path / "text.txt"), "--instructions", "@no-such-file")
    assert (missing.status, missing.stderr) == (
        2, "divebell: --instructions: cannot read no-such-file: No such file or directory\n"
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(RENAMED))
def test_a_former_flag_is_refused_with_the_present_one(name: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    now = "--prompt small" if name == "small" else f"--{RENAMED[name].replace('_', '-')}"
    done = run("ask", "q", flag)
    assert (done.status, done.stdout) == (2, "")
    assert f"The option {flag} is now called {now}. Try --help." in done.stderr
    if name == "preview":
        assert "The option --no-preview is now called --no-show-preview" in run("ask", "q", "--no-preview").stderr
