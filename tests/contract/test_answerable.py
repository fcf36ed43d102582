"""What may be an answer: one rule for FINAL, FINAL_VAR, SUBMIT and `answer`, in code and in a reply's text."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest

from divebell import RLM, Limits, Result, Sandbox, ScriptedModel
from tests.support.cells import error_kind
from tests.support.scripts import block

WAYS = {
    "FINAL": "FINAL({})",
    "FINAL_VAR": "given = {}\nFINAL_VAR('given')",
    "FINAL_VAR of the value": "FINAL_VAR({})",
    "SUBMIT": "SUBMIT({})",
    "SUBMIT by name": "SUBMIT(answer={})",
    "answer": "answer['content'] = {}\nanswer['ready'] = True",
    "a new answer": "answer = dict(content={}, ready=True)",
}

IMPORTS = (
    "import array, asyncio, bs4, collections, ipaddress, concurrent.futures, csv, dataclasses, datetime, decimal, enum, fractions, "
    "functools, io, itertools, operator, re, threading, types, uuid, pathlib\n"
    "class Empty: pass\n"
    "class Point:\n    def __init__(self): self.x, self.y, self._secret = 1, [2], 3\n"
    "class Named:\n    def __init__(self): self.n = 1\n    def __str__(self): return 'the name'\n"
    "class Words:\n    def __str__(self): return 'words'\n"
    "class Model:\n    def model_dump(self): return {'m': datetime.date(2024, 5, 1)}\n"
    "class Array:\n    def tolist(self): return [1, 2]\n    def __repr__(self): return 'array([1, 2])'\n"
    "class Colour(enum.Enum):\n    RED = 'red'\n"
    "Pair = collections.namedtuple('Pair', 'a b')\n"
    "@dataclasses.dataclass\nclass Person:\n    name: str\n    born: datetime.date\n"
    "async def soon(): return 1\n"
    "async def several():\n    yield 1\n"
    "def some():\n    yield 1\n"
)

REFUSED: dict[str, tuple[str, str]] = {
    "a coroutine": ("allm_query('a')", "await it"),
    "a coroutine of the code's own": ("soon()", "await it"),
    "coroutines in a list": ("[allm_query(p) for p in 'ab']", "[0] in it is a coroutine"),
    "a coroutine deep inside": ("{'a': ['x', (1, soon())]}", "['a'][1][1] in it is a coroutine"),
    "an asynchronous generator": ("several()", "async for"),
    "a future": ("concurrent.futures.Future()", ".result()"),
    "a generator": ("(c for c in 'ab')", "list(...)"),
    "a generator function's": ("some()", "list(...)"),
    "map": ("map(str, [1])", "list(...)"),
    "zip": ("zip('ab', 'cd')", "list(...)"),
    "filter": ("filter(None, [1])", "list(...)"),
    "enumerate in a dict": ("{'a': enumerate('ab')}", "['a'] in it is an iterator (enumerate)"),
    "reversed": ("reversed([1, 2])", "list(...)"),
    "an iterator of itertools": ("itertools.chain([1], [2])", "list(...)"),
    "a reader": ("csv.reader(['a,b'])", "list(...)"),
    "matches": ("re.finditer('a', 'aa')", "list(...)"),
    "a Match": ("re.search('a', 'abc')", "match.group()"),
    "Matches in a list": ("[*re.finditer('a', 'aa')]", "match.group()"),
    "a Pattern": ("re.compile('a')", "pattern.findall"),
    "a file": ("io.StringIO('text')", ".getvalue()"),
    "a function": ("llm_query", "call it"),
    "a builtin": ("len", "call it"),
    "a lambda": ("lambda: 1", "call it"),
    "a method": ("'abc'.upper", "call it"),
    "a bound method": ("Named().__str__", "call it"),
    "a partial": ("functools.partial(llm_query, 'a')", "call it"),
    "a class": ("Named", "a class"),
    "a builtin class": ("str", "a class"),
    "a generic alias": ("list[int]", "a class"),
    "an exception's class": ("ValueError", "a class"),
    "a module": ("re", "a module"),
    "the ellipsis": ("...", "placeholder"),
    "NotImplemented": ("NotImplemented", "placeholder"),
    "the ellipsis in a list": ("[1, ...]", "[1] in it is `Ellipsis`"),
    "a lock": ("threading.Lock()", "holds no data"),
    "an asyncio lock": ("asyncio.Lock()", "holds no data"),
    "an object": ("object()", "holds no data"),
    "an object without attributes": ("Empty()", "(Empty) that holds no data"),
    "such an object in a set": ("{Empty()}", "holds no data"),
}


@pytest.fixture(scope="module")
def shared() -> Any:
    with Sandbox(llm=str.upper, limits=Limits(cell_seconds=5)) as made:
        assert made.run(IMPORTS).ok
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_answer_is_an_error_that_says_what_to_do(shared: Sandbox, name: str, way: str) -> None:
    expression, advice = REFUSED[name]
    cell = shared.run(WAYS[way].format(expression if "lambda" not in expression else f"({expression})"))
    assert (error_kind(cell), cell.final, cell.submitted) == ("BadAnswer", None, None)
    assert cell.error is not None
    assert "this cannot be the answer: " in cell.error.message
    assert advice in cell.error.message
    assert "\n" not in cell.error.message
    assert shared.run("1").final is None


CONVERTED: dict[str, tuple[str, object, str | None]] = {
    "None": ("None", None, "None"),
    "a bool": ("True", True, "True"),
    "a number": ("42", 42, "42"),
    "bytes": ("b'ab'", b"ab", "b'ab'"),
    "a bytearray": ("bytearray(b'ab')", b"ab", "b'ab'"),
    "a memoryview": ("memoryview(b'ab')", b"ab", "b'ab'"),
    "a tuple": ("(1, 'a')", [1, "a"], "(1, 'a')"),
    "a set": ("{3, 1, 2}", [1, 2, 3], "{1, 2, 3}"),
    "a frozenset of texts": ("frozenset(['b', 'a'])", ["a", "b"], None),
    "a set of kinds": ("{'a'} | {1}", None, None),
    "a range": ("range(3)", [0, 1, 2], "[0, 1, 2]"),
    "keys": ("{'a': 1}.keys()", ["a"], "['a']"),
    "values": ("{'a': 1}.values()", [1], "[1]"),
    "items": ("{'a': 1}.items()", [["a", 1]], "[('a', 1)]"),
    "a deque": ("collections.deque([1, 2])", [1, 2], "[1, 2]"),
    "a Counter": ("collections.Counter('aab')", {"a": 2, "b": 1}, "{'a': 2, 'b': 1}"),
    "a defaultdict": ("collections.defaultdict(list, a=[1])", {"a": [1]}, "{'a': [1]}"),
    "a mapping": ("types.MappingProxyType({'a': 1})", {"a": 1}, None),
    "an array": ("array.array('i', [1, 2])", [1, 2], None),
    "a date": ("datetime.date(2024, 5, 1)", "2024-05-01", "2024-05-01"),
    "a datetime": ("datetime.datetime(2024, 5, 1, 12)", "2024-05-01T12:00:00", "2024-05-01 12:00:00"),
    "a time": ("datetime.time(12, 30)", "12:30:00", "12:30:00"),
    "a timedelta": ("datetime.timedelta(minutes=1)", 60.0, "0:01:00"),
    "dates in a list": ("[datetime.date(2024, 5, 1)]", ["2024-05-01"], "['2024-05-01']"),
    "dates as keys": ("{datetime.date(2024, 5, 1): 2}", {"2024-05-01": 2}, None),
    "a Decimal": ("decimal.Decimal('1.50')", 1.5, "1.50"),
    "a whole Decimal": ("decimal.Decimal('12345678901234567890123')", 12345678901234567890123, None),
    "a long Decimal": ("decimal.Decimal('0.12345678901234567890123')", "0.12345678901234567890123", None),
    "a huge Decimal": ("decimal.Decimal('1e999999')", "1E+999999", None),
    "a Fraction": ("fractions.Fraction(3, 4)", 0.75, "3/4"),
    "a whole Fraction": ("fractions.Fraction(6, 3)", 2, "2"),
    "a complex number": ("1 + 2j", "(1+2j)", "(1+2j)"),
    "a UUID": ("uuid.UUID(int=1)", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
    "a path": ("pathlib.PurePosixPath('a/b')", "a/b", "a/b"),
    "an enumeration": ("Colour.RED", "red", "Colour.RED"),
    "enumerations in a list": ("[Colour.RED]", ["red"], "['red']"),
    "a named tuple": ("Pair(1, [2])", {"a": 1, "b": [2]}, "Pair(a=1, b=[2])"),
    "a dataclass": (
        "Person('Ann', datetime.date(2024, 5, 1))",
        {"name": "Ann", "born": "2024-05-01"},
        None,
    ),
    "dataclasses in a list": (
        "[Person('Ann', datetime.date(2024, 5, 1))]",
        [{"name": "Ann", "born": "2024-05-01"}],
        None,
    ),
    "a namespace": ("types.SimpleNamespace(a=1)", {"a": 1}, "namespace(a=1)"),
    "an object": ("Point()", {"x": 1, "y": [2]}, "{'x': 1, 'y': [2]}"),
    "objects in a list": ("[Point()]", [{"x": 1, "y": [2]}], "[{'x': 1, 'y': [2]}]"),
    "an object with a text": ("Named()", {"n": 1}, "the name"),
    "a model": ("Model()", {"m": "2024-05-01"}, None),
    "what is like an array of numpy": ("Array()", [1, 2], "array([1, 2])"),
    "an exception": ("ValueError('no luck')", "no luck", "no luck"),
    "an exception without a word": ("ValueError()", "ValueError", "ValueError"),
    "an object with only a text": ("Words()", "words", "words"),
    "such objects in a list": ("[Words()]", ["words"], "['words']"),
    "an object of the library's": ("ipaddress.ip_address('::1')", "::1", "::1"),
    "a part of a web page": ("bs4.BeautifulSoup('<p>a</p>', 'html.parser').p", "<p>a</p>", "<p>a</p>"),
    "a text of the code's own type": ("type('T', (str,), {})('ab')", "ab", "ab"),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_each_kind_of_value_has_its_data_and_its_text(shared: Sandbox, name: str) -> None:
    expression, data, text = CONVERTED[name]
    cell = shared.run(f"FINAL({expression})")
    assert cell.error is None
    if name != "a set of kinds":
        assert (cell.final_value, cell.has_final_value) == (data, True)
        assert type(cell.final_value) is type(data)
    assert text is None or cell.final == text
    assert shared.run(f"SUBMIT(f={expression})").submitted == {"f": cell.final_value}
    for way in ("FINAL_VAR", "answer"):
        again = shared.run(WAYS[way].format(expression))
        assert (again.final, again.final_value) == (cell.final, cell.final_value)


@pytest.mark.parametrize("expression", ["{(1, 2): 3}", "{None: {(1, 2): 3}}", "[{frozenset(): 1}]"])
def test_what_has_a_text_and_no_data_is_an_answer_in_text_only(shared: Sandbox, expression: str) -> None:
    cell = shared.run(f"FINAL({expression})")
    assert (cell.error, cell.has_final_value) == (None, False)
    assert cell.final == shared.run(f"str({expression})").value
    assert error_kind(shared.run(f"SUBMIT(f={expression})")) == "BadAnswer"


@dataclass
class Person:
    name: str
    born: date


class Colour(Enum):
    RED = "red"


def run(output: Any, *replies: str) -> Result[Any]:
    root = ScriptedModel("root", [*replies, "FINAL(gone on)", "gone on"])
    return RLM(root, ScriptedModel("sub", lambda request: "y"), output=output, max_iterations=3).run("c", "q?")


TYPED: dict[str, tuple[Any, str, Any]] = {
    "None for an optional number": (int | None, "None", None),
    "a number for an optional number": (int | None, "7", 7),
    "None for an optional text": (str | None, "None", None),
    "None inside": (list[int | None], "[1, None]", [1, None]),
    "None for a JSON Schema": ({"type": ["integer", "null"]}, "None", None),
    "a number for a text": (str, "42", "42"),
    "a fraction for a text": (str, "decimal.Decimal('1.50')", "1.50"),
    "a number for a text in JSON Schema": ({"type": "string"}, "42", "42"),
    "a set for a list": (list[int], "{2, 1}", [1, 2]),
    "a set for a set": (set[str], "{'a'}", {"a"}),
    "a tuple for a tuple": (tuple[int, str], "(1, 'a')", (1, "a")),
    "a date": (date, "datetime.date(2024, 5, 1)", date(2024, 5, 1)),
    "a datetime": (datetime, "datetime.datetime(2024, 5, 1)", datetime(2024, 5, 1)),
    "a Decimal": (Decimal, "decimal.Decimal('0.1')", Decimal("0.1")),
    "a Decimal for a number": (float, "decimal.Decimal('0.1')", 0.1),
    "a Decimal for a number in JSON Schema": ({"type": "number"}, "decimal.Decimal('0.1')", 0.1),
    "a Fraction for a number": (float, "fractions.Fraction(1, 4)", 0.25),
    "bytes for a text": (str, "b'ab'", "ab"),
    "bytes for a text in JSON Schema": ({"type": "array", "items": {"type": "string"}}, "[b'ab']", ["ab"]),
    "an enumeration": (Colour, "Colour.RED", Colour.RED),
    "an enumeration's value": (Literal["red"], "Colour.RED", "red"),
    "a dataclass": (Person, "Person('Ann', datetime.date(2024, 5, 1))", Person("Ann", date(2024, 5, 1))),
    "a dict for a dataclass": (Person, "{'name': 'Ann', 'born': '2024-05-01'}", Person("Ann", date(2024, 5, 1))),
    "an object for a dict": (dict[str, Any], "Point()", {"x": 1, "y": [2]}),
    "JSON in a text": (list[int], "'[1, 2]'", [1, 2]),
    "a text that looks like JSON": (str, "'[1, 2]'", "[1, 2]"),
    "a bool": (bool, "True", True),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TYPED)
def test_a_typed_answer_is_the_same_however_it_is_given(name: str, way: str) -> None:
    output, expression, expected = TYPED[name]
    result = run(output, block(IMPORTS + WAYS[way].format(expression)))
    assert (result.value, result.iterations) == (expected, 1)
    assert type(result.value) is type(expected)


@pytest.mark.parametrize("way", [way for way in WAYS if "SUBMIT" not in way])
@pytest.mark.parametrize(("output", "expression"), [(str, "None"), (int, "None"), (str, "['a']"), (int, "'so many'")])
def test_what_does_not_fit_is_told_and_not_made_a_text(output: Any, expression: str, way: str) -> None:
    root = ScriptedModel("root", [block(WAYS[way].format(expression)), "FINAL(12)"])
    result = RLM(root, ScriptedModel("sub", ["y"]), output=output).run("c", "q?")
    assert result.value == output(12)
    assert "does not fit" in str(root.requests[1].messages[-1]["content"])


@pytest.mark.parametrize(
    ("output", "reply", "expected"),
    [
        (int | None, "FINAL(None)", None),
        (str | None, "FINAL(None)", None),
        (bool, "FINAL(True)", True),
        (bool | None, "FINAL(False)", False),
        (str, "FINAL(42)", "42"),
        (int, "FINAL(42)", 42),
    ],
)
def test_pythons_words_in_a_replys_text_are_values(output: Any, reply: str, expected: object) -> None:
    result = run(output, reply)
    assert (result.value, result.iterations) == (expected, 1)


@pytest.mark.parametrize("output", [None, str])
@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("FINAL(allm_query('a'))", "await it"),
        ("FINAL([allm_query(p) for p in ['a', 'b']])", "await it"),
        ("FINAL(map(str, [1, 2]))", "list(...)"),
        ("FINAL_VAR(found)", "match.group()"),
        ("FINAL_VAR(later)", "await it"),
    ],
)
def test_an_object_that_is_no_answer_is_none_in_a_replys_text_either(output: Any, reply: str, says: str) -> None:
    first = block("found = re.search('c', context)\nlater = allm_query('a')")
    root = ScriptedModel("root", [first, reply, "FINAL('fine')"])
    result = RLM(root, ScriptedModel("sub", ["y"]), output=output).run("c", "q?")
    assert result.answer == "fine"
    assert says in str(root.requests[2].messages[-1]["content"])


HOSTILE = """
class Loops:
    def __getattribute__(self, name):
        while True: pass
    __str__ = __repr__ = __iter__ = __len__ = lambda self: (_ for _ in ()).throw(SystemExit)
class Liar:
    __class__ = str
    __dict__ = property(lambda self: 1 / 0)
class Meta(type):
    def __instancecheck__(self, other): 1 / 0
    def __getattribute__(self, name): 1 / 0
    def mro(self): return [self, object]
class Odd(metaclass=Meta): pass
class Keys(dict):
    def items(self): raise ValueError('mine')
    keys = values = __iter__ = __len__ = items
class Many(list):
    def __iter__(self):
        while True: yield self
class Itself:
    def tolist(self): return self
class Raises:
    def __str__(self): raise RecursionError('mine')
class Fields:
    __dataclass_fields__ = 5
deep = []
for _ in range(10_000): deep = [deep]
wide = [0]
for _ in range(25): wide = [wide] * 10
loop = []
loop.append(loop)
loops = {}
loops['a'] = [loops]
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "value",
    ["Loops()", "Liar()", "Odd()", "Odd", "Keys(a=1)", "Many([1])", "Itself()", "Raises()", "Fields()", "deep", "wide",
     "loop", "loops", "10**6000", "{1: 10**6000}", "{10**20: 1}", "{float('nan'): 1}", "'\\ud800'", "b'x' * 20_000_000",
     "[[]] * 500_000", "range(10**9)", "{n: n for n in range(9_000)}"],
)  # fmt: skip
def test_no_value_breaks_the_sandbox(value: str, way: str) -> None:
    with Sandbox(limits=Limits(cell_seconds=1, grace_seconds=2, memory_bytes=200 << 20)) as box:
        assert box.run(HOSTILE).ok
        box.run(WAYS[way].format(value))
        assert box.run("FINAL('next')").final == "next"
        assert box.draft() is None or box.draft()
        assert {variable.name for variable in box.variables()} >= {"deep", "wide"}


def test_a_value_of_many_megabytes_fits_a_schema_as_well_with_final_as_with_submit() -> None:
    results = [run(list[str], block(f"{way}(['x' * 10] * 150_000)")) for way in ("FINAL", "SUBMIT")]
    assert [len(result.value) for result in results] == [150_000, 150_000]
