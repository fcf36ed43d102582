"""What programs expect around them, and is not here: each use has a plain end, in words, and the cell's output is whole."""

import pytest

from divebell import Sandbox

REFUSED = {
    "two questions at the keyboard": ("input('a', 'b')", "TypeError", "input expected at most 1 argument, got 2"),
    "a question at the keyboard": ("input('name? ')", "EOFError", "there is no keyboard"),
    "a socket": ("import socket\nsocket.socket()", "OSError", "there is no network"),
    "a pair of sockets": ("import socket\nsocket.socketpair()", "OSError", "there is no network"),
    "a name's address": ("import socket\nsocket.gethostbyname('x')", "OSError", "there is no network"),
    "a page": ("import urllib.request\nurllib.request.urlopen('http://a.b')", "URLError", "there is no network"),
    "a connection of asyncio": ("import asyncio\nawait asyncio.open_connection('a.b', 80)", "OSError", "there is no network"),
    "a shell": ("import os\nos.system('ls')", "OSError", "there are no processes"),
    "a pipe": ("import os\nos.popen('ls')", "OSError", "there are no processes"),
    "a process": ("import subprocess\nsubprocess.run(['ls'])", "OSError", "there are no processes"),
    "a process's output": ("import subprocess\nsubprocess.check_output('ls', shell=True)", "OSError", "there are no processes"),
    "a process of asyncio": ("import asyncio\nawait asyncio.create_subprocess_shell('ls')", "NotImplementedError", "no processes"),
    "a signal of asyncio": ("import asyncio\nasyncio.get_running_loop().add_signal_handler(2, print)\nawait asyncio.sleep(0)", "NotImplementedError", "no signals"),
    "a locale": ("import locale\nlocale.setlocale(locale.LC_ALL, 'de_DE.UTF-8')", "Error", "only 'C' and 'C.UTF-8' are"),
    "a locale for numbers": ("import locale\nlocale.setlocale(locale.LC_NUMERIC, 'fr_FR')", "Error", "'fr_FR' is not"),
    "a locale in two words": ("import locale\nlocale.setlocale(locale.LC_ALL, ('tr_TR', 'UTF-8'))", "Error", "'tr_TR.UTF-8'"),
    "a locale among others": ("import locale\nlocale.setlocale(locale.LC_ALL, 'LC_CTYPE=C;LC_TIME=de_DE')", "Error", "unsupported locale"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_here_says_so(box: Sandbox, code: str, kind: str, words: str) -> None:
    error = box.run(code).error
    assert error is not None
    assert error.kind == kind, error
    assert words in error.message


VALUES = {
    "the end of stdin": ("import sys\n[sys.stdin.read(), sys.stdin.readline(), list(sys.stdin)]", ["", "", []]),
    "the names of the streams": ("import sys\n[sys.stdin.name, sys.stdout.name, sys.stderr.name, sys.stdout.mode]", ["<stdin>", "<stdout>", "<stderr>", "w"]),
    "the name of the machine": ("import socket\nsocket.gethostname()", "localhost"),
    "stdin as bytes": ("import sys\nsys.stdin.buffer.read()", b""),
    "a stdin of the cell's own": ("import io, sys\nsys.stdin = io.StringIO('5\\n')\ninput()", "5"),
    "locales that are here": ("import locale\n[locale.setlocale(locale.LC_ALL, name) for name in ('C', '', 'C.UTF-8')][0]", "C"),
    "a locale put back": ("import locale\nlocale.setlocale(locale.LC_ALL, locale.setlocale(locale.LC_ALL)) != ''", True),
    "code that begins with a byte order mark": ("\ufeffx = 5\nx", 5),
    "a main function": ("def main(): return 7\nif __name__ == '__main__': result = main()\nresult", 7),
    "asyncio.EventLoop": ("import asyncio\nloop = asyncio.EventLoop()\nloop.run_until_complete(asyncio.sleep(0, 1))", 1),
    "asyncio.SelectorEventLoop": ("import asyncio, selectors\nloop = asyncio.SelectorEventLoop(selectors.SelectSelector())\nloop.run_until_complete(asyncio.sleep(0, 2))", 2),
    "asyncio.new_event_loop": ("import asyncio\nloop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\nloop.run_until_complete(asyncio.sleep(0, 3))", 3),
    "asyncio.Runner": ("import asyncio\nwith asyncio.Runner() as runner: got = runner.run(asyncio.sleep(0, 4))\ngot", 4),
    "asyncio.Runner with a loop's class": ("import asyncio\nwith asyncio.Runner(loop_factory=asyncio.EventLoop) as runner: got = runner.run(asyncio.sleep(0, 5))\ngot", 5),
    "asyncio.run with a loop's class": ("import asyncio\nasyncio.run(asyncio.sleep(0, 6), loop_factory=asyncio.EventLoop)", 6),
    "asyncio.run beside an await": ("import asyncio\n[await asyncio.sleep(0, 7), asyncio.run(asyncio.sleep(0, 8))]", [7, 8]),
    "the default policy anew": ("import asyncio\nasyncio.set_event_loop_policy(None)\nasyncio.run(asyncio.sleep(0, 9))", 9),
    "another policy": ("import asyncio\nasyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())\nasyncio.run(asyncio.sleep(0, 10))", 10),
    "classes by name": ("import pickle, copy, dataclasses, typing\n@dataclasses.dataclass\nclass P:\n    x: 'int'\n    y: 'P | None' = None\np = P(1, P(2))\n[pickle.loads(pickle.dumps(p)) == p, copy.deepcopy(p) == p, P.__module__, typing.get_type_hints(P)['x'] is int]", [True, True, "__main__", True]),
    "a pool of processes": ("import multiprocessing\ndef double(n): return 2 * n\nwith multiprocessing.Pool(2) as pool: got = pool.map(double, [1, 2])\ngot", [2, 4]),
}  # fmt: skip


@pytest.mark.parametrize(("code", "wanted"), VALUES.values(), ids=VALUES)
def test_what_programs_rely_on(box: Sandbox, code: str, wanted: object) -> None:
    cell = box.run(code)
    assert cell.error is None, cell.error
    assert cell.value == wanted
    assert cell.stderr == ""


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        ("import sys\nn = sys.stdout.buffer.write(b'abc\\n')", "abc\n"),
        ("import sys\nfor byte in 'aé€😀'.encode(): n = sys.stdout.buffer.write(bytes([byte]))", "aé€😀"),
        ("import sys\nn = sys.stdout.buffer.write(memoryview(b'x'))\nprint('y')\nn = sys.stdout.buffer.write(bytearray(b'z'))", "xy\nz"),
        ("import sys\nn = sys.stdout.buffer.write(b'\\xff|' + 'é'.encode()[:1])", "\ufffd|\ufffd"),
        ("import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')\nprint('wrapped é')", "wrapped é\n"),
        ("import sys\nsys.stdout.close()\nprint('still')", "still\n"),
        ("import sys\nsys.stdout.reconfigure(encoding='utf-8', line_buffering=True)\nprint('on')", "on\n"),
        ("import codecs, sys\nsys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer)\nprint('é')", "é\n"),
    ],
)  # fmt: skip
def test_what_is_written_as_bytes_is_seen(box: Sandbox, code: str, stdout: str) -> None:
    cell = box.run(code)
    assert cell.error is None, cell.error
    assert cell.stdout == stdout
    assert box.run("print('next')").stdout == "next\n"


def test_bytes_to_stderr_and_those_of_a_cell_that_fails_are_seen(box: Sandbox) -> None:
    assert box.run("import sys\nn = sys.stderr.buffer.write(b'oh')").stderr == "oh"
    code = "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('before')\n1 / 0"
    assert box.run(code).stdout == "before\n"


def test_bytes_that_are_written_are_bounded_as_text_is(box: Sandbox) -> None:
    cell = box.run("import sys\nfor _ in range(100): n = sys.stdout.buffer.write(b'x' * 100_000)")
    assert cell.truncated
    assert len(cell.stdout) < 110_000


def test_the_source_of_what_cells_define_is_there(box: Sandbox) -> None:
    first = "class A:\n    def f(self):\n        return 1\n\n\n    class Inner:\n        z = 1\n"
    second = "import dataclasses, inspect\n\n\n@dataclasses.dataclass\nclass B:\n    # a field\n    x: int = 1\n\n\ndef g():\n    return 2\n"
    assert box.run(first).ok
    assert box.run(second).ok
    assert box.run("inspect.getsource(A)").value == first
    assert box.run("inspect.getsource(A.Inner)").value == "    class Inner:\n        z = 1\n"
    assert box.run("inspect.getsource(A.f)").value == "    def f(self):\n        return 1\n"
    assert box.run("inspect.getsource(B)").value == "@dataclasses.dataclass\nclass B:\n    # a field\n    x: int = 1\n"
    assert box.run("inspect.getsource(g)").value == "def g():\n    return 2\n"


def test_a_class_that_is_defined_again_shows_its_new_source(box: Sandbox) -> None:
    box.run("class A:\n    x = 1\n")
    box.run("class A:\n    x = 2\n")
    assert box.run("import inspect\ninspect.getsource(A)").value == "class A:\n    x = 2\n"


def test_a_class_without_source_has_none(box: Sandbox) -> None:
    error = box.run("import inspect\nC = type('C', (), {})\ninspect.getsource(C)").error
    assert error is not None
    assert error.kind == "OSError"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("!ls -la", "there is no shell"),
        ("x = 1\nfiles = !ls", "there is no shell"),
        ("!pip install pandas", "nothing can be installed"),
        ("%pip install -q pandas", "nothing can be installed"),
        ("pip install pandas", "nothing can be installed"),
        ("x = 1\npython3 -m pip install pandas", "nothing can be installed"),
        ("apt-get install -y jq", "nothing can be installed"),
        ("%timeit sum(range(9))", "a command of notebooks"),
        ("%%time\nx = 1", "a command of notebooks"),
        ("%matplotlib inline\nx = 1", "a command of notebooks"),
        ("x = 1\nx?", "write help(thing)"),
        ("?str.upper", "write help(thing)"),
        ("'a'.join(5 5)", "Perhaps you forgot a comma"),
        ("x = (1\n% 2", "was never closed"),
    ],
)
def test_a_syntax_error_says_what_is_wrong_with_its_line(box: Sandbox, code: str, words: str) -> None:
    error = box.run(code).error
    assert error is not None
    assert error.kind == "SyntaxError"
    assert words in error.message
    assert "^" in error.traceback
    assert "divebell_guest" not in error.traceback


def test_a_breakpoint_is_passed_over_with_a_word(box: Sandbox) -> None:
    cell = box.run("x = 1\nbreakpoint()\nx + 1")
    assert cell.value == 2
    assert "no debugger" in cell.stderr


def test_help_without_a_thing_says_what_there_is(box: Sandbox) -> None:
    shown = box.run("help()").stdout
    assert "help(thing)" in shown
    assert "llm_query" in shown


def test_help_with_a_name_that_is_none_says_so(box: Sandbox) -> None:
    cell = box.run("help('nonsense')")
    assert cell.ok
    assert "No Python documentation found for 'nonsense'" in cell.stdout


def test_a_module_that_a_cell_writes_can_be_imported(box: Sandbox) -> None:
    box.run("with open('helper.py', 'w') as file: file.write('def double(n): return 2 * n')")
    assert box.run("import helper\nhelper.double(21)").value == 42
    assert box.run("import inspect\ninspect.getsource(helper.double)").value == "def double(n): return 2 * n\n"


def test_a_warning_is_shown_once_a_cell(box: Sandbox) -> None:
    code = "import warnings\nfor _ in range(3): warnings.warn('careful')"
    for _ in range(2):
        cell = box.run(code)
        assert cell.ok
        assert cell.stderr.count("UserWarning: careful") == 1
        assert "for _ in range(3)" in cell.stderr


def test_a_long_message_is_cut_in_its_middle(box: Sandbox) -> None:
    error = box.run("raise ValueError('a' * 50_000 + 'b' * 50_000)").error
    assert error is not None
    for text in (error.message, error.traceback):
        assert len(text) < 21_000
        assert text.rstrip().endswith("bbb")
        assert "characters not shown" in text
    assert error.message.startswith("aaa")
