"""`divebell ask`: the real command and the real client, against a local server that plays the models."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from divebell.cli.inputs import parse_rates
from divebell_bridge.money.rates import Rate
from tests.support.chat_server import KEY, ChatServer, Reply, error
from tests.support.command import Done, run, start

QUESTION = "What is the code?"
LINES = [f"line {number}: nothing to see" for number in range(500)]
TEXT = "\n".join([*LINES[:321], "line 321: the code is 4711", *LINES[322:]])

FIND = """I search for it.

```repl
lines = [line for line in context.splitlines() if "code" in line]
print(len(lines), "found")
```"""
ASK = """Now a reader.

```repl
reply = llm_query("Which code does this line state? " + lines[0])
print(reply)
FINAL(reply)
```"""


def play(request: dict[str, Any]) -> str:
    """A root model that writes code, and a sub-model that reads one line."""
    last = request["messages"][-1]["content"]
    if request["model"] == "sub":
        found = re.search(r"code is (\d+)", last)
        return found[1] if found else "none"
    turns = sum(message["role"] == "assistant" for message in request["messages"])
    return (FIND, ASK)[min(turns, 1)]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(play, models={"root", "sub"}) as running:
        yield running


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "log.txt"
    path.write_text(TEXT, "utf-8")
    return path


def ask(server: ChatServer, *arguments: str, stdin: str | bytes = "", key: str = KEY, model: str = "root") -> Done:
    """Ask with the server's models. The key must be in no output, and a failure must not look like a crash."""
    done = run(
        *("ask", *arguments, "--model", model, "--sub-model", "sub", "--base-url", server.url),
        stdin=stdin,
        env={"OPENAI_API_KEY": key},
    )
    assert key not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_answers_from_a_file(server: ChatServer, text_file: Path) -> None:
    done = ask(server, QUESTION, "--context", str(text_file))
    assert (done.status, done.stdout) == (0, "4711\n")
    assert [received.json["model"] for received in server.received] == ["root", "root", "sub"]
    assert all(received.headers["authorization"] == f"Bearer {KEY}" for received in server.received)


@pytest.mark.slow
def test_the_root_model_sees_no_more_than_the_beginning_of_the_file(server: ChatServer, text_file: Path) -> None:
    ask(server, QUESTION, "--context", str(text_file))
    sent = json.dumps([received.json for received in server.received if received.json["model"] == "root"])
    assert QUESTION in sent
    assert "line 1: nothing to see" in sent
    assert "line 99: nothing to see" not in sent
    server.received.clear()
    ask(server, QUESTION, "--context", str(text_file), "--no-show-preview")
    sent = json.dumps([received.json for received in server.received if received.json["model"] == "root"])
    assert "nothing to see" not in sent


@pytest.mark.slow
def test_an_answer_of_a_schema_is_printed_as_json(server: ChatServer, text_file: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"code": {"type": "integer"}}, "required": ["code"]}')
    server.policy = lambda _request: "```repl\nSUBMIT(code=int(re.search('code is (.*)', context)[1]))\n```"
    done = ask(server, QUESTION, "-c", str(text_file), "--schema", str(schema), "-q")
    assert (done.status, json.loads(done.stdout)) == (0, {"code": 4711})
    done = ask(server, QUESTION, "-c", str(text_file), "--schema", str(tmp_path / "missing.json"), "-q")
    assert (done.status, done.stdout) == (2, "")
    assert "cannot read" in done.sentence


@pytest.mark.slow
def test_shows_progress_and_cost_on_stderr_without_escape_codes(server: ChatServer, text_file: Path) -> None:
    done = ask(server, QUESTION, "--context", str(text_file), "--rate", "root=1/2", "--rate", "sub=1/2")
    assert "1 found" in done.stderr
    assert "2 turns, 3 model calls" in done.stderr
    assert re.search(r"\$0\.00\d+", done.stderr)
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_quiet_prints_the_answer_and_nothing_else(server: ChatServer, text_file: Path) -> None:
    assert ask(server, QUESTION, "-c", str(text_file), "--quiet") == Done(0, "4711\n", "")


@pytest.mark.slow
def test_json(server: ChatServer, text_file: Path) -> None:
    done = ask(server, QUESTION, "-c", str(text_file), "--json", "--rate", "root=1/2", "--rate", "sub=1/2")
    assert (done.status, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["answer"] == "4711"
    assert told["status"] == "answered"
    assert re.fullmatch("[0-9a-f]{32}", told["run_id"])  # as in the trace, the journal and the ledger
    assert (told["metadata"], told["value"], told["notes"]) == ({}, "4711", [])
    assert told["iterations"] == 2
    assert told["spend"]["calls"] == 3
    assert float(told["spend"]["dollars"]) > 0
    assert set(told["spend"]["models"]) == {"root", "sub"}


@pytest.mark.slow
def test_a_wrong_command_does_not_take_the_name_of_its_trace(
    server: ChatServer, text_file: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    for wrong in (["-c", str(tmp_path / "missing")], ["-c", str(text_file), "--rate", "nonsense"]):
        assert ask(server, QUESTION, *wrong, "-q", "--trace", str(trace)).status != 0
        assert not trace.exists()
    assert ask(server, QUESTION, "-c", str(text_file), "-q", "--trace", str(trace)).status == 0


@pytest.mark.slow
def test_a_trace_of_a_run_that_failed_shows_why(server: ChatServer, text_file: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    server.policy = lambda _request: error(400, "out of order")
    assert ask(server, QUESTION, "-c", str(text_file), "-q", "--trace", str(trace)).status != 0
    shown = run("trace", str(trace)).stdout
    assert "error" in shown
    assert "out of order" in shown


@pytest.mark.slow
def test_a_trace_is_written_and_shown(server: ChatServer, text_file: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    assert ask(server, QUESTION, "-c", str(text_file), "-q", "--trace", str(trace)).status == 0
    assert KEY not in trace.read_text("utf-8")
    shown = run("trace", str(trace))
    assert shown.status == 0
    assert QUESTION in shown.stdout
    assert "4711" in shown.stdout
    again = ask(server, QUESTION, "-c", str(text_file), "-q", "--trace", str(trace))
    assert (again.status, again.stdout) == (2, "")
    assert str(trace) in again.sentence


@pytest.mark.slow
def test_reads_standard_input(server: ChatServer) -> None:
    assert ask(server, QUESTION, "-c", "-", "-q", stdin=TEXT).stdout == "4711\n"


@pytest.mark.slow
def test_several_files_are_a_dict_by_path(server: ChatServer, text_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("no such thing", "utf-8")
    code = "```repl\nFINAL(' '.join(f'{len(text)}' for path, text in sorted(context.items())))\n```"
    server.policy = lambda _request: code
    done = ask(server, QUESTION, "-c", str(text_file), "-c", str(other), "-q")
    assert (done.status, done.stdout) == (0, f"{len(TEXT)} {len('no such thing')}\n")


@pytest.mark.slow
def test_the_sub_model_is_the_root_model_by_default(server: ChatServer, text_file: Path) -> None:
    server.policy = lambda request: (
        "```repl\nFINAL(llm_query('x'))\n```" if len(request["messages"]) > 1 else "sub says"
    )
    done = run(
        *("ask", QUESTION, "-c", str(text_file), "-m", "root", "--base-url", server.url, "-q"),
        env={"OPENAI_API_KEY": KEY},
    )
    assert done.stdout == "sub says\n"
    assert {received.json["model"] for received in server.received} == {"root"}


@pytest.mark.slow
def test_options_come_from_the_environment(server: ChatServer, text_file: Path) -> None:
    env = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": server.url,
        "DIVEBELL_MODEL": "root",
        "DIVEBELL_SUB_MODEL": "sub",
    }
    assert run("ask", QUESTION, "-c", str(text_file), "-q", env=env) == Done(0, "4711\n", "")


@pytest.mark.slow
def test_an_endpoint_that_needs_no_key(server: ChatServer, text_file: Path) -> None:
    server.key = None
    done = run(
        "ask", QUESTION, "-c", str(text_file), "-m", "root", "--sub-model", "sub", "--base-url", server.url, "-q"
    )
    assert done == Done(0, "4711\n", "")


@pytest.mark.slow
def test_the_guest_does_not_see_the_key(server: ChatServer, text_file: Path) -> None:
    server.policy = lambda _request: "```repl\nimport os\nFINAL(repr(dict(os.environ)))\n```"
    done = ask(server, QUESTION, "-c", str(text_file), "-q")
    assert (done.status, done.stdout) == (0, "{}\n")


@pytest.mark.slow
def test_an_answer_that_the_pipe_cannot_hold(server: ChatServer, text_file: Path) -> None:
    server.policy = lambda _request: "```repl\nFINAL('half \\ud83d of a pair')\n```"
    done = ask(server, QUESTION, "-c", str(text_file), "-q")
    assert done.status == 0
    assert done.stdout.startswith("half ")


def failed(done: Done, status: int) -> str:
    assert done.stdout == ""
    assert done.status == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.sentence


def test_without_a_key(text_file: Path) -> None:
    sentence = failed(run("ask", QUESTION, "-c", str(text_file)), 2)
    assert sentence == "no API key: set OPENAI_API_KEY, or name an endpoint that needs none with --base-url"


@pytest.mark.slow
def test_an_endpoint_that_cannot_be_reached(text_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        done = run("ask", QUESTION, "-c", str(text_file), "-m", "root", "--base-url", url)
    assert failed(done, 1).startswith(f"cannot reach {url}: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "status", "says"),
    [
        (error(400, "That is bad."), 1, "refused the request (400): That is bad"),
        (error(403, "Not for you."), 1, "refused the key"),
        (error(429, "Slow down."), 1, "too many requests"),
        (error(500, "Oh no."), 1, "is failing (500): Oh no"),
        (error(400, f"you sent {KEY}"), 1, "you sent [key]"),
        (Reply(cut_off=True, text="a text"), 1, "the connection broke"),
        (Reply(body="<html>"), 1, "not a JSON object"),
    ],
)
def test_what_the_endpoint_says(server: ChatServer, text_file: Path, reply: Reply, status: int, says: str) -> None:
    server.policy = lambda _request: reply
    assert says in failed(ask(server, QUESTION, "-c", str(text_file)), status)


@pytest.mark.slow
def test_a_wrong_key(server: ChatServer, text_file: Path) -> None:
    done = ask(server, QUESTION, "-c", str(text_file), key="sk-wrong-0123456789")
    assert "the endpoint refused the key (401" in failed(done, 1)


@pytest.mark.slow
def test_an_unknown_model(server: ChatServer, text_file: Path) -> None:
    sentence = failed(ask(server, QUESTION, "-c", str(text_file), model="nonesuch"), 1)
    assert sentence.startswith("the endpoint does not know the model 'nonesuch' (404)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["", "-c", "{file}"], 2, "the question is empty"),
        (["  \n", "-c", "{file}"], 2, "the question is empty"),
        ([QUESTION], 2, "there is no context"),
        ([QUESTION, "-c", "{folder}/missing.txt"], 2, "cannot read {folder}/missing.txt: No such file or directory"),
        ([QUESTION, "-c", "{nothing}"], 2, "no text in {nothing}"),
        ([QUESTION, "-c", "{folder}/*.none"], 2, "no text in {folder} matches *.none"),
        ([QUESTION, "-c", "{json}"], 2, "'bad.json' is not JSON at line 2, column 1"),
        ([QUESTION, "-c", "{empty}"], 2, "empty"),
        ([QUESTION, "-c", "{file}", "-c", "{empty}"], 2, "{empty} is empty"),
        ([QUESTION, "-c", "{file}", "-c", "{folder}/missing.txt"], 2, "missing.txt"),
        ([QUESTION, "-c", "-"], 2, "empty"),
        ([QUESTION, "-c", "{binary}"], 2, "'binary' holds binary data, not text"),
        ([QUESTION, "-c", "{file}", "--budget", "much"], 2, "'much'"),
        ([QUESTION, "-c", "{file}", "--budget", "-1"], 2, "'-1'"),
        ([QUESTION, "-c", "{file}", "--budget", "nan"], 2, "'nan'"),
        ([QUESTION, "-c", "{file}", "--budget", "1"], 2, "the price of 'root' is not known"),
        ([QUESTION, "-c", "{file}", "--rate", "root"], 2, "--rate must look like"),
        ([QUESTION, "-c", "{file}", "--rate", "root=1"], 2, "--rate must look like"),
        ([QUESTION, "-c", "{file}", "--rate", "=1/2"], 2, "--rate must look like"),
        ([QUESTION, "-c", "{file}", "--rate", "root=1/2/3/4"], 2, "--rate must look like"),
        ([QUESTION, "-c", "{file}", "--rate", "root=1/2/"], 2, "the cached input rate"),
        ([QUESTION, "-c", "{file}", "--rate", "root=1/2/x"], 2, "'x'"),
        ([QUESTION, "-c", "{file}", "--rate", "root=a/b"], 2, "'a'"),
        ([QUESTION, "-c", "{file}", "--rate", "root=-1/2"], 2, "'-1'"),
        ([QUESTION, "-c", "{file}", "--base-url", "localhost:80"], 2, "--base-url must look like"),
    ],
)
def test_bad_input(
    server: ChatServer, text_file: Path, tmp_path: Path, arguments: list[str], status: int, says: str
) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "bad.json").write_text('{"a":\n')
    (tmp_path / "nothing").mkdir()
    places = {
        "{file}": text_file,
        "{folder}": tmp_path,
        "{empty}": tmp_path / "empty.txt",
        "{binary}": tmp_path / "binary",
        "{nothing}": tmp_path / "nothing",
        "{json}": tmp_path / "bad.json",
    }

    def placed(text: str) -> str:
        for name, path in places.items():
            text = text.replace(name, str(path))
        return text

    given = [placed(argument) for argument in arguments]
    own_url = [] if "--base-url" in given else ["--base-url", server.url]
    done = run("ask", *given, "-m", "root", *own_url, env={"OPENAI_API_KEY": KEY})
    assert placed(says) in failed(done, status)
    assert not server.received


@pytest.mark.slow
def test_standard_input_that_is_not_text(server: ChatServer) -> None:
    assert "holds binary data" in failed(ask(server, QUESTION, "-c", "-", stdin=bytes(500)), 2)


@pytest.mark.slow
def test_standard_input_in_another_encoding_is_read_and_said(server: ChatServer) -> None:
    done = ask(server, QUESTION, "-c", "-", stdin=TEXT.encode("utf-16"))
    assert (done.status, done.stdout) == (0, "4711\n")
    assert "note: 'standard input' is not UTF-8: read as UTF-16-LE" in done.stderr


CONTENT = "```repl\nFINAL(repr(context))\n```"


@pytest.mark.slow
def test_a_folder_is_a_dict_of_its_texts(server: ChatServer, tmp_path: Path) -> None:
    server.policy = lambda _request: CONTENT
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "a.md").write_text("one")
    (tmp_path / "docs" / "deep" / "b.txt").write_text("two")
    (tmp_path / "docs" / "c.bin").write_bytes(bytes(100))
    done = ask(server, QUESTION, "-c", str(tmp_path / "docs"))
    assert (done.status, done.stdout) == (0, "{'a.md': 'one', 'deep/b.txt': 'two'}\n")
    assert "note: 1 binary file was left out: 'c.bin'" in done.stderr
    pattern = f"{tmp_path.as_posix()}/docs/*.md"
    assert ask(server, QUESTION, "-q", "-c", pattern).stdout == f"{{'{tmp_path.as_posix()}/docs/a.md': 'one'}}\n"


@pytest.mark.slow
def test_json_lines_and_a_file_together(server: ChatServer, tmp_path: Path) -> None:
    server.policy = lambda _request: CONTENT
    rows, text = tmp_path / "rows.jsonl", tmp_path / "text.txt"
    rows.write_text('{"a": 1}\n{"a": 2}\n')
    text.write_text("text")
    assert ask(server, QUESTION, "-q", "-c", str(rows)).stdout == "[{'a': 1}, {'a': 2}]\n"
    both = ask(server, QUESTION, "-q", "-c", str(rows), "-c", "-", "-c", str(text), stdin="typed")
    assert both.stdout == f"{{'{rows}': [{{'a': 1}}, {{'a': 2}}], '{text}': 'text', '-': 'typed'}}\n"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--calls", "many"], ["--seconds", "0"], ["--depth", "33"], ["--nonsense"]])
def test_options_that_the_parser_refuses(text_file: Path, arguments: list[str]) -> None:
    done = run("ask", QUESTION, "-c", str(text_file), *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tokens", "10"], "of 10 are free"),
        (["--budget", "0.000001", "--rate", "root=1/2", "--rate", "sub=1/2"], "of $0.000001"),
    ],
)
def test_over_budget(server: ChatServer, text_file: Path, arguments: list[str], says: str) -> None:
    assert says in failed(ask(server, QUESTION, "-c", str(text_file), *arguments), 3)


@pytest.mark.slow
def test_over_budget_in_the_middle_prints_what_there_is_and_fails(server: ChatServer, text_file: Path) -> None:
    done = ask(server, QUESTION, "-c", str(text_file), "--calls", "1")
    assert (done.stdout, done.status) == ("1 found\n", 3)
    assert "draft" in done.stderr
    assert "all 1 calls of the budget are used" in done.stderr
    as_json = ask(server, QUESTION, "-c", str(text_file), "--calls", "1", "--json")
    assert (json.loads(as_json.stdout)["status"], as_json.status) == ("failed", 3)
    assert "all 1 calls" in failed(
        ask(server, QUESTION, "-c", str(text_file), "--calls", "1", "--on-exhausted", "raise"), 3
    )


@pytest.mark.slow
def test_over_the_budgets_time(server: ChatServer, text_file: Path) -> None:
    server.policy = lambda _request: Reply(text="late", delay_seconds=600)
    done = ask(server, QUESTION, "-c", str(text_file), "--seconds", "0.5")
    assert done.stdout == ""
    assert done.status == 3
    assert done.sentence


@pytest.mark.slow
def test_within_budget(server: ChatServer, text_file: Path) -> None:
    done = ask(server, QUESTION, "-c", str(text_file), "--budget", "1", "--rate", "root=1/2", "--rate", "sub=0/0", "-q")
    assert done == Done(0, "4711\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("m=1/2", Rate.per_million("1", "2")),
        ("m=1/2/0.1", Rate.per_million("1", "2", "0.1")),
        ("m=0/0/0", Rate.per_million("0", "0", "0")),
    ],
)
def test_a_rate_may_say_what_cached_input_costs(text: str, rate: Rate) -> None:
    assert parse_rates([text, f"a=b{text[1:]}"]) == {"m": rate, "a=b": rate}


@pytest.mark.slow
def test_ctrl_c_during_a_call(server: ChatServer, text_file: Path) -> None:
    server.policy = lambda _request: Reply(text="late", delay_seconds=600)
    command = start(
        *("ask", QUESTION, "-c", str(text_file), "-m", "root", "--base-url", server.url), env={"OPENAI_API_KEY": KEY}
    )
    _interrupt(command, server)


@pytest.mark.slow
def test_ctrl_c_during_a_cell(server: ChatServer, text_file: Path) -> None:
    code = "```repl\nllm_query('started')\nwhile True: pass\n```"
    server.policy = lambda request: code if len(request["messages"]) > 1 else "ok"
    command = start(
        *("ask", QUESTION, "-c", str(text_file), "-m", "root", "--base-url", server.url), env={"OPENAI_API_KEY": KEY}
    )
    _interrupt(command, server, calls=2)


def _interrupt(command: Any, server: ChatServer, *, calls: int = 1) -> None:
    deadline = time.monotonic() + 300
    while len(server.received) < calls:
        assert time.monotonic() < deadline
        assert command.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    command.send_signal(signal.SIGINT)
    stdout, stderr = command.communicate(timeout=300)
    assert (command.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    assert KEY not in stderr
