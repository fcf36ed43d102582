"""`./build.sh guest-stdlib`: run CPython's own tests in the guest, and say what is not as expected.

Exit status: 0 if all came out as the list says (or was updated), 1 if not, or if the tests cannot be had.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

from divebell_wasm.build.work import BuildError

from . import expected, sources
from .runner import Outcome, run_module

DEFAULT_JOBS = 2


def main() -> int:
    """Parse the command line, run, and report."""
    parser = argparse.ArgumentParser(
        prog="./build.sh guest-stdlib", description="Run CPython's own tests in the guest, and compare with the list."
    )
    parser.add_argument("modules", nargs="*", help="test_json, test_json.test_dump, ...; all that there are by default")
    parser.add_argument("--update", action="store_true", help="write what came out into the list; reasons are kept")
    parser.add_argument("--explain-anew", action="store_true", help="with --update: find all reasons once more")
    parser.add_argument("--jobs", type=int, default=DEFAULT_JOBS, help="modules at once (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="show the traceback of each test that does not pass")
    arguments = parser.parse_args()
    try:
        chosen = _chosen(arguments.modules)
    except BuildError as error:
        print(f"guest-stdlib: {error}", file=sys.stderr)
        return 1
    return _run(chosen, arguments)


def _chosen(names: list[str]) -> list[str]:
    every = sources.modules()
    if not names:
        return every
    chosen = [module for module in every if any(f"{module}.".startswith(f"{name}.") for name in names)]
    missing = [name for name in names if not any(f"{module}.".startswith(f"{name}.") for module in every)]
    if missing:
        raise BuildError(f"CPython has no test module {missing[0]!r}")
    return chosen


def _run(modules: list[str], arguments: argparse.Namespace) -> int:
    reasons, known = expected.read_reasons(), expected.read_expected()
    total: Counter[str] = Counter()
    failed = False
    for module, outcomes in _outcomes(modules, arguments.jobs, arguments.show):
        total.update(one.outcome for one in outcomes)
        before = known.get(module, expected.Expectation())
        found = expected.differences(module, before, outcomes)
        print(f"{module}: {len(outcomes)} tests, " + (f"{len(found)} not as expected" if found else "as expected"))
        for line in found:
            print(f"  {line}")
        if arguments.show:
            _show(outcomes)
        sys.stdout.flush()
        failed = failed or bool(found)
        if arguments.update:
            known[module] = expected.expectation_of(module, outcomes, before, reasons, anew=arguments.explain_anew)
            expected.write_expected(known)
    print(f"{total.total()} tests of {len(modules)} modules: " + ", ".join(f"{n} {what}" for what, n in total.items()))
    without_reason = expected.unexplained({name: known[name] for name in modules if name in known}, reasons)
    for test in without_reason:
        print(f"no reason is given for {test}")
    return 1 if without_reason or (failed and not arguments.update) else 0


def _outcomes(modules: list[str], jobs: int, with_details: bool) -> Iterator[tuple[str, list[Outcome]]]:
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        running = {pool.submit(run_module, module, with_details=with_details): module for module in modules}
        for done in as_completed(running):
            yield running[done], done.result()


def _show(outcomes: list[Outcome]) -> None:
    for one in outcomes:
        if one.outcome not in ("pass", "skip"):
            print(f"\n--- {one.outcome} {one.test}: {one.message}\n{one.details}")


if __name__ == "__main__":
    sys.exit(main())
