"""`divebell exec`: a Python file in a sandbox."""

import signal
import time
from pathlib import Path

import pytest

from tests.support.chat_server import KEY
from tests.support.command import Done, run, start


def execute(code: str, *arguments: str, env: dict[str, str] | None = None) -> Done:
    return run("exec", "-", *arguments, stdin=code, env=env)


@pytest.mark.slow
def test_runs_a_file(tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text("import sys\nprint('out')\nprint('err', file=sys.stderr)\n", "utf-8")
    assert run("exec", str(path)) == Done(0, "out\n", "err\n")


def test_runs_standard_input_and_prints_the_last_value() -> None:
    assert execute("x = 6\nx * 7\n") == Done(0, "42\n", "")


@pytest.mark.slow
def test_says_nothing_of_code_that_says_nothing() -> None:
    assert execute("x = 1") == Done(0, "", "")
    assert execute("") == Done(0, "", "")


def test_the_context_is_a_variable(tmp_path: Path) -> None:
    path = tmp_path / "context.txt"
    path.write_text("ä" * 1000, "utf-8")
    assert execute("print(len(context), context[:3])", "--context", str(path)) == Done(0, "1000 äää\n", "")


@pytest.mark.slow
def test_the_context_may_be_a_folder_or_json(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.json").write_text('{"rows": [1, 2]}')
    assert execute("print(context)", "-c", str(tmp_path)).stdout == "{'a.txt': 'one', 'b.json': '{\"rows\": [1, 2]}'}\n"
    done = execute("print(context)", "-c", str(tmp_path / "b.json"))
    assert done == Done(0, "{'rows': [1, 2]}\n", "note: 'b.json' was read as JSON\n")
    several = execute("print(list(context.values()))", "-c", str(tmp_path / "b.json"), "-c", str(tmp_path / "a.txt"))
    assert several.stdout == "[{'rows': [1, 2]}, 'one']\n"
    assert execute("print(1)", "-c", "-").sentence == "standard input cannot be both the code and the context"


def test_an_error_shows_the_guests_traceback_and_what_was_printed_before() -> None:
    done = execute("print('before')\n1 / 0\n")
    assert (done.status, done.stdout) == (1, "before\n")
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "engine/" not in done.stderr
    assert "wasmtime" not in done.stderr


@pytest.mark.slow
def test_a_syntax_error() -> None:
    done = execute("print('never')\ndef (:\n")
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("SyntaxError: ")


@pytest.mark.slow
@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(6000)"])
@pytest.mark.slow
def test_a_timeout(code: str) -> None:
    done = execute(code, "--seconds", "0.5")
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.strip()
    assert "divebell/" not in done.stderr


@pytest.mark.slow
def test_a_memory_bomb() -> None:
    done = execute("x = bytearray(2**30)", "--memory-mib", "64")
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("MemoryError")


@pytest.mark.slow
def test_a_crash_of_the_interpreter_is_a_failure_of_the_code() -> None:
    done = execute("import os\nos.abort()")
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.strip()
    assert "engine/" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("status", ["7", "'a message'"])
def test_an_exit_with_a_status_is_a_failure_of_the_code(status: str) -> None:
    assert execute(f"import sys\nsys.exit({status})").status == 1


@pytest.mark.slow
@pytest.mark.parametrize("status", ["", "0", "None"])
def test_an_exit_without_a_status_is_a_normal_end(status: str) -> None:
    assert execute(f"import sys\nprint(1)\nsys.exit({status})\nprint(2)") == Done(0, "1\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "encoding"), [("'\\ud800'", "utf-8"), ("'\\u2192'", "ascii"), ("'\\u2192'", "cp1252")]
)
def test_output_that_the_pipe_cannot_hold(text: str, encoding: str) -> None:
    for code in (f"print({text})", f"import sys\nprint({text}, file=sys.stderr)", text):
        done = execute(code, env={"PYTHONIOENCODING": encoding})
        assert done.status == 0
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_seed_makes_runs_repeat() -> None:
    code = "import random, time\nprint(random.random(), hash('x'), time.time())"
    first, second = (execute(code, "--seed", "5") for _ in range(2))
    assert first == second
    assert first.status == 0
    assert execute(code, "--seed", "6").stdout != first.stdout


@pytest.mark.slow
def test_the_environment_is_not_the_guests() -> None:
    done = execute("import os\nprint(dict(os.environ))", env={"OPENAI_API_KEY": KEY})
    assert done == Done(0, "{}\n", "")


@pytest.mark.slow
def test_files_are_not_the_guests(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden", "utf-8")
    done = execute(f"print(open({str(secret)!r}).read())")
    assert (done.status, done.stdout) == (1, "")
    assert "hidden" not in done.stderr


@pytest.mark.slow
def test_there_is_no_model() -> None:
    done = execute("llm_query('x')")
    assert done.status == 1
    assert "no language model" in done.stderr


@pytest.mark.slow
def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.py"
    binary.write_bytes(b"\xff\xfe")
    for path, says in ((tmp_path / "missing.py", "No such file"), (tmp_path, "directory"), (binary, "not UTF-8 text")):
        done = run("exec", str(path))
        assert (done.status, done.stdout) == (2, "")
        assert str(path) in done.sentence
        assert says in done.sentence


@pytest.mark.slow
def test_standard_input_that_is_not_text() -> None:
    done = run("exec", "-", stdin=b"print('\xff')", env={"LC_ALL": "C"})
    assert (done.status, done.stdout) == (2, "")
    assert "not UTF-8 text" in done.sentence


@pytest.mark.slow
def test_a_context_that_cannot_be_read(tmp_path: Path) -> None:
    done = execute("1", "--context", str(tmp_path / "missing.txt"))
    assert (done.status, done.stdout) == (2, "")
    assert "missing.txt" in done.sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--seconds", "0"], ["--seconds", "x"], ["--memory-mib", "0"], ["--memory-mib", "99999"], ["--no"]]
)
def test_options_that_the_parser_refuses(arguments: list[str]) -> None:
    done = execute("1", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(3000)", "x = 10 ** (10 ** 9)"])
def test_ctrl_c_ends_it_promptly(code: str) -> None:
    command = start("exec", "-", "--seconds", "3600")
    assert command.stdin is not None
    command.stdin.write(code)
    command.stdin.close()
    command.stdin = None
    time.sleep(2)  # nothing outside tells that the cell runs
    assert command.poll() is None
    command.send_signal(signal.SIGINT)
    stdout, stderr = command.communicate(timeout=300)
    assert (command.returncode, stdout) == (130, "")
    assert stderr == "divebell: interrupted\n"


@pytest.mark.slow
def test_a_reader_that_went_away(tmp_path: Path) -> None:
    command = start("exec", "-")
    assert command.stdin is not None
    assert command.stdout is not None
    command.stdout.close()
    command.stdin.write("print('x' * 1_000_000)")
    command.stdin.close()
    assert command.wait(300) != 0
    assert command.stderr is not None
    with command.stderr as said:
        assert "Traceback" not in said.read()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no file without an end")
def test_code_without_an_end_is_refused() -> None:
    done = run("exec", "/dev/zero")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == "divebell: /dev/zero is over 16,777,216 bytes, the limit for code\n"
