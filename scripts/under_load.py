"""Run the tests while other processes burn every core: a busy machine must not end an innocent cell, nor fail a test.

    python scripts/under_load.py [--short] [--rounds N] [--burners N] [arguments of pytest ...]

Stops at the first round that fails, with its exit status. Ctrl-C ends the burners too.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TIMED_TESTS = (
    "tests/sandbox/test_limits.py",
    "tests/runtime/test_watchdog.py",
    "tests/sandbox/test_sandbox_life.py",
    "tests/sandbox/test_sandbox_waiting.py",
    "tests/sandbox/test_many.py",
    "tests/contract/test_policies.py",
    "tests/contract/test_awaiting.py",
    "tests/contract/test_threads.py",
    "tests/hostile/test_time_attacks.py",
    "tests/journal/test_time_limits.py",
    "tests/calls/test_run_budget.py",
)
"""Tests in which time passes: those that a busy machine would fail first."""
MAX_ROUNDS = 1_000
MAX_BURNERS = 1_000
_BURN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(10**6): pass"


@contextmanager
def burn_cores(count: int) -> Iterator[None]:
    """Run `count` processes that compute without a pause. Each ends by itself if this process dies."""
    burners = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
        for burner in burners:
            burner.wait()


def main() -> int:
    """The exit status: 0 where every round passed, else that of the round that failed."""
    parser = argparse.ArgumentParser(description="Run the tests while other processes burn every core.")
    parser.add_argument("--rounds", type=int, default=5, help="how often the tests are run, one after the other (5)")
    parser.add_argument("--burners", type=int, default=os.cpu_count() or 1, help="how many processes (one per core)")
    parser.add_argument("--short", action="store_true", help="once, and only the tests in which time passes")
    options, pytest_arguments = parser.parse_known_args()
    if not 1 <= options.rounds <= MAX_ROUNDS or not 0 <= options.burners <= MAX_BURNERS:
        parser.error(f"--rounds must be from 1 to {MAX_ROUNDS:,}, --burners from 0 to {MAX_BURNERS:,}")
    if options.short:
        options.rounds = 1
        pytest_arguments += TIMED_TESTS
    with burn_cores(options.burners):
        for number in range(1, options.rounds + 1):
            print(f"round {number} of {options.rounds}, with {options.burners} burners", flush=True)
            status = subprocess.run([sys.executable, "-m", "pytest", *pytest_arguments], check=False).returncode
            if status != 0:
                return status
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
