"""An import that fails says what there is instead, and stays the error that programs expect."""

import pytest

from divebell import Sandbox
from tests.support.cells import value_of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("numpy", ["numpy is not in this sandbox", "nothing can be installed", "math", "statistics", "array"]),
        ("scipy.stats", ["scipy is not", "statistics"]),
        ("pandas", ["csv", "json", "collections"]),
        ("polars", ["csv"]),
        ("sklearn.feature_extraction.text", ["sklearn is not", "statistics", "llm_query"]),
        ("torch", ["llm_query"]),
        ("openai", ["llm_query(prompt)", "llm_query_batched"]),
        ("transformers", ["llm_query"]),
        ("langchain_openai", ["llm_query"]),
        ("nltk.tokenize", ["re", "difflib"]),
        ("spacy", ["re"]),
        ("tiktoken", ["len(text) / 4", "budget()"]),
        ("regex", ["for patterns there is re"]),
        ("rapidfuzz", ["difflib"]),
        ("Levenshtein", ["difflib"]),
        ("lxml.etree", ["bs4", "xml.etree.ElementTree"]),
        ("yaml", ["json", "tomllib"]),
        ("orjson", ["json"]),
        ("pydantic", ["dataclasses"]),
        ("requests", ["there is no network", "context"]),
        ("httpx", ["there is no network"]),
        ("matplotlib.pyplot", ["print text"]),
        ("PIL", ["print text"]),
        ("tqdm", ["print"]),
        ("pypdf", ["context"]),
        ("pytz", ["zoneinfo", "dateutil"]),
        ("tzlocal", ["zoneinfo"]),
        ("tzdata", ["all time zones are there", "zoneinfo.ZoneInfo("]),
        ("chardet", ["errors='replace'"]),
        ("networkx", ["graphlib"]),
        ("sqlalchemy", ["in memory"]),
        ("nest_asyncio", ["may `await`"]),
        ("joblib", ["llm_query_batched", "asyncio"]),
        ("pytest", ["unittest"]),
        ("pip", ["nothing can be installed"]),
        ("ssl", ["there is no network"]),
        ("http.server", ["http.server is not", "there is no network"]),
        ("tkinter", ["no screen"]),
        ("ctypes", ["no foreign code"]),
        ("mmap", ["work in memory"]),
        ("fcntl", ["no operating system"]),
        ("compileall", ["this part of Python's standard library is not in this sandbox"]),
        ("multiprocessing.shared_memory", ["multiprocessing is in this sandbox, without this part of it"]),
        ("colections", ["did you mean collections?"]),
        ("dateutils", ["did you mean dateutil?"]),
        ("html.parsers", ["html is in this sandbox"]),
        ("frobnicate", ["it is not in this sandbox", "nothing can be installed", "standard library", "bs4"]),
        ("Überpaket", ["it is not in this sandbox", "standard library"]),
    ],
)
def test_the_error_names_what_there_is_instead(box: Sandbox, module: str, words: list[str]) -> None:
    error = box.run(f"import {module}").error
    assert error is not None
    assert error.kind == "ModuleNotFoundError"
    assert error.message.startswith("No module named '")
    assert [word for word in words if word not in error.message] == []
    assert "divebell_guest" not in error.traceback
    assert error.message in error.traceback


def test_the_same_words_come_by_every_way_of_importing(box: Sandbox) -> None:
    ways = ["from numpy import array", "__import__('numpy')", "import importlib; importlib.import_module('numpy')"]
    messages = {str(box.run(way).error and box.run(way).error.message) for way in [*ways, "import numpy"]}
    assert len(messages) == 1
    assert "math" in messages.pop()


def test_programs_that_try_another_module_go_on(box: Sandbox) -> None:
    code = """
try:
    import regex as chosen
except ImportError as error:
    import re as chosen
    caught = (type(error).__name__, error.name, re.match("No module named '(.+?)'", str(error))[1])
(chosen.__name__, caught)
"""
    assert value_of(box.run(code)) == ["re", ["ModuleNotFoundError", "regex", "regex"]]


def test_a_module_that_is_missing_is_not_found_rather_than_refused(box: Sandbox) -> None:
    code = "import importlib.util\n[importlib.util.find_spec(name) for name in ('numpy', 'ssl', 'frobnicate')]"
    assert value_of(box.run(code)) == [None, None, None]


def test_other_import_errors_keep_their_words(box: Sandbox) -> None:
    for code, message in [
        ("import os.nothing", "No module named 'os.nothing'; 'os' is not a package"),
        ("raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')", "No module named 'numpy'"),
        ("from math import nothing", "cannot import name 'nothing' from 'math' (unknown location)"),
    ]:
        error = box.run(code).error
        assert error is not None
        assert error.message == message


def test_a_printed_traceback_does_not_show_how_it_is_done(box: Sandbox) -> None:
    printed = box.run("import traceback\ntry:\n    import torch\nexcept ImportError:\n    traceback.print_exc()").stderr
    assert printed.count("File ") == 1
    assert "llm_query" in printed


def test_how_a_module_is_looked_for_is_not_shown(box: Sandbox) -> None:
    error = box.run("import importlib\nimportlib.import_module('pandas.core.frame')").error
    assert error is not None
    assert "_find_and_load" not in error.traceback
    assert "<cell 1>" in error.traceback


def test_the_table_is_right_about_this_guest(box: Sandbox) -> None:
    code = """
from divebell_guest import import_hints
names = [name for _, _, names in import_hints._KINDS for name in names.split()]
there = [name for _, modules, _ in import_hints._KINDS for name in modules.split() if name not in import_hints._NO_MODULES]
(
    sorted({name for name in names if names.count(name) > 1}),
    [name for name in names if import_hints._is_there(name)],
    sorted({name for name in there if not import_hints._is_there(name)}),
)
"""
    assert value_of(box.run(code)) == [[], [], []]


def test_what_a_cell_does_to_other_modules_leaves_the_error_whole(box: Sandbox) -> None:
    error = box.run("import difflib\ndifflib.get_close_matches = None\nimport frobnicate").error
    assert error is not None
    assert (error.kind, error.message) == ("ModuleNotFoundError", "No module named 'frobnicate'")
