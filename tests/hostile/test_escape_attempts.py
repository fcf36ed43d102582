"""Ways out of an ordinary CPython: files, sockets, processes, threads, native code. Here there is nothing behind them."""

from pathlib import Path

import pytest

from divebell import Sandbox
from tests.support.cells import value_of
from tests.support.threat import FINE, LOST, Attack, Threat, ending, threats

ABSENT = ending(
    "OSError", "FileNotFoundError", "PermissionError", "NotImplementedError", "ModuleNotFoundError", "ImportError",
    "AttributeError", "RuntimeError", "BlockingIOError", "NotADirectoryError", "KeyError", "ValueError", "UnsupportedOperation",
)  # fmt: skip


@pytest.mark.slow
@threats(
    Threat("open_passwd", "open('/etc/passwd').read()"),
    Threat("open_through_os", "import os; os.open('/etc/passwd', os.O_RDONLY)"),
    Threat("open_relative", "open('pyproject.toml')"),
    Threat("open_through_the_parent_folder", "open('../../../../../../etc/passwd')"),
    Threat("open_through_the_root_s_descriptor", "import os; os.open('etc/passwd', os.O_RDONLY, dir_fd=3)"),
    Threat("open_outside_of_tmp", "open('/divebell-was-here', 'w')"),
    Threat("open_a_database_of_the_host", "import sqlite3; sqlite3.connect('/etc/x.db').execute('create table t(x)')"),
    Threat("close_the_root", "import os; os.close(3)"),
    Threat("read_descriptor_0", "import os; os.read(0, 1)"),
    Threat("proc_self", "open('/proc/self/environ', 'rb').read()"),
    Threat("make_a_link", "import os; os.symlink('/etc', '/tmp/x')"),
    Threat("memory_map", "import mmap; mmap.mmap(-1, 4096)"),
    Threat("shared_memory", "from multiprocessing import shared_memory; shared_memory.SharedMemory(create=True, size=10)"),
    Threat("socket", "import socket; socket.create_connection(('127.0.0.1', 80), 1)"),
    Threat("raw_socket_module", "import _socket; _socket.socket()"),
    Threat("name_lookup", "import socket; socket.getaddrinfo('localhost', 80)"),
    Threat("url", "import urllib.request; urllib.request.urlopen('http://127.0.0.1')"),
    Threat("http_client", "import http.client; http.client.HTTPConnection('127.0.0.1').request('GET', '/')"),
    Threat("file_url", "import urllib.request; urllib.request.urlopen('file:///etc/passwd')"),
    Threat("subprocess", "import subprocess; subprocess.run(['true'])"),
    Threat("shell", "import os\nif os.system('true') != 0: raise OSError('refused')"),
    Threat("popen", "import os; os.popen('true').read()"),
    Threat("fork", "import os; os.fork()"),
    Threat("exec", "import os; os.execv('/bin/true', ['true'])"),
    Threat("spawn", "import os; os.posix_spawn('/bin/true', ['true'], {})"),
    Threat("kill_the_parent", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"),
    Threat("multiprocessing", "import _multiprocessing"),
    Threat("process_context", "import multiprocessing.context"),
    Threat("ctypes", "import ctypes; ctypes.CDLL(None)"),
    Threat("raw_ctypes", "import _ctypes"),
    Threat("native_extension", "import importlib.machinery as m; m.ExtensionFileLoader('x', '/tmp/x.so').create_module(m.ModuleSpec('x', None))"),
    Threat("dynamic_import", "import _imp; _imp.create_dynamic(__import__('types').SimpleNamespace(name='x', origin='/x.so'))"),
    Threat("import_of_the_host_package", "import divebell"),
    Threat("import_of_wasmtime", "import wasmtime"),
    Threat("import_from_a_path", "import sys; sys.path.insert(0, '/usr/lib/python3'); import nonesuch"),
    Threat("zip_import", "import zipimport; zipimport.zipimporter('/tmp/x.zip')"),
    Threat("resource_limits", "import resource; resource.setrlimit(resource.RLIMIT_AS, (1, 1))"),
    Threat("password_database", "import pwd; pwd.getpwuid(0)"),
    Threat("terminal", "import termios; termios.tcgetattr(0)"),
    Threat("get_the_user", "import os; os.getlogin()"),
    Threat("change_directory", "import os; os.chdir('/etc')"),
    Threat("change_root", "import os; os.chroot('/')"),
    Threat("password_prompt", "input('password: ')"),
    Threat("low_level_thread", "import _thread; _thread.start_new_thread(print, ())"),
)  # fmt: skip
def test_there_is_nothing_there(attack: Attack, threat: Threat) -> None:
    attack(threat.code, *ABSENT, "EOFError", "gaierror", "URLError", "OperationalError", "ZipImportError", "TypeError")


@threats(
    Threat("exit", "import sys; sys.exit(3)"),
    Threat("os_exit", "import os; os._exit(3)"),
    Threat("quit", "raise SystemExit('bye')"),
    Threat("low_level_exit", "import posix; posix._exit(3)", LOST),
    Threat("abort", "import os; os.abort()", LOST),
    Threat("null_pointer", "import faulthandler; faulthandler._sigsegv()", LOST | ABSENT),
    Threat("raise_signal", "import signal; signal.raise_signal(signal.SIGABRT)", LOST | ABSENT),
    Threat("kill_oneself", "import os; os.kill(os.getpid(), 9)", LOST | ABSENT),
    Threat("finalize_the_interpreter", "import _testcapi", ABSENT),
    Threat("subinterpreter", "import _interpreters; _interpreters.run_string(_interpreters.create(), 'while True: pass')",
           LOST | ABSENT | ending("TimeoutError", "TypeError", FINE)),
    Threat("at_exit", "import atexit\ndef f():\n    while True: pass\natexit.register(f)\nraise SystemExit"),
    Threat("at_exit_run_now", "import atexit\ndef f():\n    while True: pass\natexit.register(f); atexit._run_exitfuncs()", ending("TimeoutError", "Killed", FINE)),
)  # fmt: skip
def test_ending_the_interpreter_ends_the_cell_only(attack: Attack, threat: Threat) -> None:
    attack(threat)


def test_the_guest_knows_nothing_of_its_host() -> None:
    with Sandbox() as box:
        seen = box.run(
            "import os, sys, platform\ndict(os.environ), sys.argv, sys.path, os.getcwd(), sys.executable, platform.node()"
        )
        environment, arguments, path, folder, executable, node = value_of(seen)
        assert (environment, arguments, path, executable) == ({}, [""], [""], "")
        assert folder == "/tmp"
        assert node in ("", "(none)", "localhost")
        monotonic, started = value_of(box.run("import time; time.monotonic(), time.perf_counter()"))
    assert abs(monotonic - 1099.5) < 120  # it starts anew, and so tells nothing of the host's uptime
    assert abs(started - 1099.5) < 120


def test_the_files_that_a_guest_sees_are_its_own(tmp_path: Path) -> None:
    there = tmp_path / "host.txt"
    there.write_text("the host's")
    name = f"divebell-{tmp_path.name}-was-here"
    with Sandbox() as box:
        seen = box.run(
            "import glob, os, sqlite3\n"
            f"open('/tmp/{name}', 'w').write('x'); sqlite3.connect('/tmp/{name}.db').execute('create table t(x)')\n"
            f"sorted(os.listdir('/')), sorted(os.listdir('/tmp')), sorted(glob.glob('/*')), os.listdir('/usr'), os.path.exists({str(there)!r})"
        )
    assert seen.value == [["dev", "tmp", "usr"], [name, f"{name}.db"], ["/dev", "/tmp", "/usr"], ["share"], False]
    assert not [path for path in Path("/tmp").iterdir() if name in path.name]


def test_two_sandboxes_share_no_object_and_no_randomness() -> None:
    with Sandbox() as one, Sandbox() as other:
        assert one.run("import json; json.leak = 1; import builtins; builtins.leak = 2; import sys; sys.leak = 3").ok
        assert (
            other.run("import json, builtins, sys\n[hasattr(m, 'leak') for m in (json, builtins, sys)]").value
            == [False] * 3
        )
        draw = "import random, uuid, os\nrandom.random(), str(uuid.uuid4()), os.urandom(16), str(uuid.uuid1())"
        assert not set(value_of(one.run(draw))) & set(value_of(other.run(draw)))
