"""The half that runs in the guest: imports `test.*` from the context, and runs unittest's tests there.

Not imported on the host; runner.py gives its text to the first cell of each sandbox. `context` is a dict of file name
(`test/test_bisect.py`) and content: the whole package `test`, its data included, and the few modules of the library that
the guest leaves out and tests of other modules need.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import os
import re
import sys
import traceback
import types
import unittest

ROOT = "/tmp/lib/python3.13/"
MESSAGE_CHARACTERS = 300
TRACEBACK_CHARACTERS = 4000
DETAILS = [False]  # whether tracebacks are wanted


class Sources(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Finds and loads modules in the context."""

    def find_spec(self, name, path=None, target=None):
        for end, is_package in (("/__init__.py", True), (".py", False)):
            file = name.replace(".", "/") + end
            if file in context:  # noqa: F821
                spec = importlib.machinery.ModuleSpec(name, self, origin=ROOT + file, is_package=is_package)
                spec.has_location = True
                if is_package:
                    spec.submodule_search_locations = [ROOT + file.rpartition("/")[0]]
                return spec
        return None

    def get_filename(self, name):
        return self.find_spec(name).origin

    def get_data(self, path):
        file = path.removeprefix(ROOT)
        if file not in context:  # noqa: F821
            raise FileNotFoundError(path)
        return context[file]  # noqa: F821

    def path_stats(self, path):
        raise OSError("no byte code is kept")


class Absent(unittest.SkipTest, ImportError):
    """A test needs a part of CPython that is made for tests only, and not in the guest."""


class StandIn(types.ModuleType):
    """In place of such a part: many modules import one for a single test, and would be skipped as a whole."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise Absent(f"needs {self.__name__}, which is for tests only")


class Outcomes(unittest.TestResult):
    """One outcome for each test. The first that is no success stands, so a failed subtest fails its test."""

    def __init__(self):
        super().__init__()
        self.of = {}
        self.parts = {}  # of tests that skipped a part: what they came to, if nothing else is said of them
        self.holders = []  # of a setUpClass or setUpModule that failed, and so of the tests that did not run

    def _note(self, test, outcome, message="", details=""):
        test = getattr(test, "test_case", test)
        if not isinstance(test, unittest.TestCase):
            self.holders.append((outcome, message, details))
            return
        before = self.of.get(id(test))
        if before is None or before[0] == "pass":
            self.of[id(test)] = (outcome, message, details)

    def addSuccess(self, test):
        self._note(test, "pass")

    def addSubTest(self, test, subtest, error):
        if error is not None:
            outcome = "fail" if issubclass(error[0], test.failureException) else "error"
            self._note(test, outcome, *described(error[1]))

    def addFailure(self, test, error):
        self._note(test, "fail", *described(error[1]))

    def addError(self, test, error):
        self._note(test, "error", *described(error[1]))

    def addSkip(self, test, reason):
        whole = getattr(test, "test_case", test)
        if test is whole:
            self._note(test, "skip", one_line(reason))
        else:
            self.parts.setdefault(id(whole), ("skip", one_line(reason), ""))

    def addExpectedFailure(self, test, error):
        self._note(test, "pass", "as CPython expects, it failed")

    def addUnexpectedSuccess(self, test):
        self._note(test, "fail", "unexpected success")


def one_line(text):
    text = " ".join(str(text).split())
    return text if len(text) <= MESSAGE_CHARACTERS else text[: MESSAGE_CHARACTERS - 3] + "..."


def described(error):
    """The error in one line, and its traceback if that is wanted."""
    details = ""
    if DETAILS[0]:
        details = "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]
    return one_line(f"{type(error).__name__}: {error}"), details


def flattened(suite):
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from flattened(one)
        else:
            yield one


def short(name):
    return "".join(character if character.isprintable() and character not in ": " else "_" for character in name)[:200]


def name_of(test):
    """The test's id without its module: what the list of expected outcomes calls it."""
    return short(test.id().removeprefix(type(test).__module__ + "."))


def source_of(module):
    stem = "test/" + module.replace(".", "/")
    return context.get(f"{stem}.py") or context.get(f"{stem}/__init__.py", b"")  # noqa: F821


def lay_out(module):
    """Put into files what a test module may open: itself, its package, and the data that it or its helpers name."""
    stem = "test/" + module.replace(".", "/")
    package = stem.rpartition("/")[0] if stem.count("/") > 1 else stem
    own = {file for file in context if file.startswith((f"{package}/", f"{stem}.", f"{stem}/"))}  # noqa: F821
    text = b"".join(context[file] for file in own if file.endswith(".py"))  # noqa: F821
    helpers = {name for pair in HELPERS.findall(text) for name in pair if name}
    text += b"".join(source_of(name.decode()) for name in helpers)
    for folder in DATA:
        files = [file for file in context if file.startswith(folder)]  # noqa: F821
        if any(name_in(file).encode() in text for file in (folder, *files)):
            own.update(files)
    for file in own:
        os.makedirs(ROOT + file.rpartition("/")[0], exist_ok=True)
        with open(ROOT + file, "wb") as out:
            out.write(context[file])  # noqa: F821
    sys.__stdout__ = open(ROOT + "stdout", "w")  # noqa: SIM115 - some tests ask for its descriptor


def name_in(path):
    return path.rstrip("/").rpartition("/")[2]


def load(module):
    """The tests of a module, grouped by class: the names of each group. Or the one outcome of the whole module."""
    from test import support

    support.verbose = 0
    support.use_resources = []
    # Those of a package's modules are run module by module, and there is no folder to look into.
    support.load_package_tests = lambda folder, loader, tests, pattern: tests
    # Tests that use asyncio ask for sockets; most work without, but for those that make some.
    source = source_of(module)
    support.has_socket_support = b"asyncio" in source and b"import socket" not in source
    with contextlib.suppress(OSError):
        lay_out(module)
    try:
        loaded = importlib.import_module(f"test.{module}")
        tests = list(flattened(unittest.defaultTestLoader.loadTestsFromModule(loaded)))
    except unittest.SkipTest as skip:
        return {"whole": ("skip", one_line(skip), "")}
    except BaseException as error:
        return {"whole": ("error", *described(error))}
    groups.clear()
    for test in tests:
        if not groups or type(groups[-1][0]) is not type(test) or len(groups[-1]) >= 400:
            groups.append([])
        groups[-1].append(test)
    return {"groups": [[name_of(test) for test in group] for group in groups]}


def run_tests(group, first, last):
    """Run these tests of a group, and give the outcome of each."""
    tests = groups[group][first:last]
    outcomes = Outcomes()
    unittest.TestSuite(tests).run(outcomes)
    holder = outcomes.holders[0] if outcomes.holders else ("error", "it did not run", "")
    return [outcomes.of.get(id(test)) or outcomes.parts.get(id(test), holder) for test in tests]


# What lies beside the test modules: `test/mathdata/`, `test/levenshtein_examples.json`.
DATA = {
    "test/" + parts[1] + "/" * (len(parts) > 2)
    for parts in (file.split("/") for file in context)  # noqa: F821
    if parts[0] == "test"
    and not parts[1].startswith("test_")
    and parts[1] not in ("support", "libregrtest")
    and (len(parts) > 2 or not parts[1].endswith(".py"))
}
HELPERS = re.compile(rb"\bfrom test(?:\.(\w+))? import (\w+)|'test\.(test_\w+)'")
groups = []
for name in ("_testinternalcapi", "_testlimitedcapi", "_testsinglephase"):
    sys.modules[name] = StandIn(name)
sys.meta_path.append(Sources())
