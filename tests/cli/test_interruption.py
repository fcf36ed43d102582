"""Ctrl-C at any moment of a command's start: one line, status 130, and no traceback."""

import signal
import subprocess
import sys
import time

import pytest

from tests.support.command import COMMAND, environment

pytestmark = pytest.mark.slow


PROGRAM = """
import builtins, os, signal, sys
import divebell_command

left = int(sys.argv.pop(1))
really_import = builtins.__import__

def counted_import(*arguments, **named):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGINT)
    return really_import(*arguments, **named)

builtins.__import__ = counted_import
try:
    divebell_command.main()
except SystemExit as end:
    if left > 0:
        print("imports left:", left)
    raise
"""


def interrupted_at(imports: int) -> "subprocess.CompletedProcess[str]":
    """A command to which Ctrl-C comes at that of its imports."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(imports), "prices", "gpt-5"],
        env=environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_ctrl_c_at_any_moment_of_the_start_is_one_line() -> None:
    whole = interrupted_at(1_000_000)
    assert whole.returncode == 0
    imports = 1_000_000 - int(whole.stdout.rsplit(":", 1)[1])
    assert imports > 500
    for part in (0, 1, 10, 100, 300, 500, 700, 900, 970, 990):  # in thousandths
        done = interrupted_at(1 + imports * part // 1000)
        assert (done.returncode, done.stderr) == (130, "divebell: interrupted\n"), part


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    """As under nohup, or in a script's background."""
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", str(COMMAND), "exec", "-"],
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(b"1 + 1", timeout=600)
    assert (process.returncode, stdout, stderr) == (0, b"2\n", b"")


BOOTING = """
import os, signal, sys
import divebell_command
from divebell_bridge.door import wire

left = int(sys.argv.pop(1))
really_encode = wire.encode

def interrupting_encode(*arguments, **named):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGINT)
    return really_encode(*arguments, **named)

wire.encode = interrupting_encode  # the boot's door answers with it, called from inside the guest
divebell_command.main()
"""


def test_ctrl_c_while_the_guest_boots_crashes_nothing() -> None:
    """An exception in a callback from the guest is lost, and what the guest gets instead crashed the process."""
    for call in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", BOOTING, str(call), "exec", "-", "--seconds", "3600"],
            input="while True: pass", env=environment(), capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (130, "divebell: interrupted\n")
