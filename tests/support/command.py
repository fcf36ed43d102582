"""Running the `divebell` command as a user does: a process of its own, through pipes."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).with_name("divebell")
SECONDS = 600.0

# What would change what the commands do or how they print.
_REMOVED_PREFIXES = ("OPENAI_", "DIVEBELL_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FORCE_COLOR", "TTY_", "COLUMNS")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def sentence(self) -> str:
        """The one sentence that a failed command says; progress may come before it, nothing after it."""
        lines = self.stderr.splitlines()
        sentences = [line for line in lines if line.startswith("divebell: ")]
        assert sentences == lines[-1:], self.stderr
        return sentences[0].removeprefix("divebell: ")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would change the commands, and with `more`.

    The cache of compiled modules stays where it is, or each command would compile for seconds.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name == "DIVEBELL_CACHE" or not name.upper().startswith(_REMOVED_PREFIXES)
    }
    return {**inherited, **(more or {})}


def start(*arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """The command, running, with pipes."""
    return subprocess.Popen(
        [COMMAND, *arguments],
        env=environment(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def run(*arguments: str, stdin: str | bytes = "", env: Mapping[str, str] | None = None) -> Done:
    """The command, ended. It never shows a traceback of the host's."""
    process = subprocess.run(
        [COMMAND, *arguments],
        env=environment(env),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return Done(process.returncode, process.stdout.decode(), process.stderr.decode())
