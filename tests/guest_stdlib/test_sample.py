"""Twenty of CPython's own test modules, broad and quick, come out in the guest as the list says.

All of them take a quarter of an hour or so: `./build.sh guest-stdlib` runs them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import expected
from .runner import run_module

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]
SAMPLE = (
    "test_asyncio.test_locks", "test_asyncio.test_queues", "test_bisect", "test_codeop", "test_collections", "test_copy",
    "test_coroutines", "test_dataclasses", "test_functools", "test_generators", "test_heapq", "test_htmlparser",
    "test_json.test_decode", "test_json.test_unicode", "test_list", "test_locale", "test_operator", "test_re", "test_string",
    "test_textwrap",
)  # fmt: skip


@pytest.fixture(scope="module")
def tests_of_cpython() -> None:
    """They are downloaded once, by a process of its own, because tests have no network; where they cannot be had they
    are left out, but not by a build server."""
    fetch = "from tests.guest_stdlib import sources; sources.tarball()"
    done = subprocess.run([sys.executable, "-c", fetch], cwd=ROOT, capture_output=True, text=True, timeout=600)
    if done.returncode == 0:
        return
    why = f"CPython's source is not here and cannot be had: {done.stderr.strip()[-500:]}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.mark.timeout(600)  # the first one unpacks the tests, and starts an engine
@pytest.mark.parametrize("module", SAMPLE)
@pytest.mark.usefixtures("tests_of_cpython")
def test_a_module_comes_out_as_the_list_says(module: str) -> None:
    expectation = expected.read_expected()[module]
    assert expectation.counts["pass"] > 0
    assert expected.differences(module, expectation, run_module(module)) == []


def test_every_failure_in_the_list_has_a_reason_and_every_reason_a_failure() -> None:
    reasons, known = expected.read_reasons(), expected.read_expected()
    assert expected.unexplained(known, reasons) == []
    used = {line.reason for one in known.values() for line in one.lines.values()}
    assert sorted(set(reasons) - used) == []


def test_the_list_holds_the_sample() -> None:
    assert set(SAMPLE) <= set(expected.read_expected())
    assert len(set(SAMPLE)) == 20
