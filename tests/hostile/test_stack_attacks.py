"""Cells that go too deep: in source text, in data, in calls through C. RecursionError where CPython counts, else a
StackOverflow that costs the cell, never the process."""

import pytest

from tests.support.threat import FINE, IN_TIME, LOST, Attack, Threat, ending, threats

DEEP = LOST | IN_TIME | ending("RecursionError", "MemoryError", "SyntaxError", "IndentationError", "ValueError")
DEEP_OR_FINE = DEEP | {FINE}

NESTED_LIST = "x = []\nfor _ in range(200_000): x = [x]\n"


@pytest.mark.slow
@threats(
    Threat("brackets_5000_deep", "[" * 5000 + "]" * 5000),
    Threat("brackets_100000_deep", "[" * 100_000 + "]" * 100_000),
    Threat("brackets_never_closed", "(" * 100_000),
    Threat("braces_deep", "{1:" * 5000 + "1" + "}" * 5000),
    Threat("calls_deep", "f(" * 50_000 + ")" * 50_000),
    Threat("unary_minus_deep", "-" * 100_000 + "1"),
    Threat("not_deep", "not " * 100_000 + "1"),
    Threat("await_deep", "async def f():\n    " + "await " * 1000 + "1"),
    Threat("lambda_deep", "lambda: " * 50_000 + "1"),
    Threat("attribute_chain", "x" + ".a" * 200_000),
    Threat("addition_chain", "+".join(["1"] * 200_000)),
    Threat("comparison_chain", "<".join(["1"] * 200_000)),
    Threat("conditional_chain", "1 if 1 else " * 50_000 + "1"),
    Threat("f_string_deep", "f'{" * 500 + "1" + "}'" * 500),
    Threat("f_string_format_deep", "f'" + "{1:" * 5000 + "}" * 5000 + "'"),
    Threat("blocks_deep", "".join(" " * i + "if 1:\n" for i in range(3000)) + " " * 3000 + "pass"),
    Threat("functions_deep", "".join(" " * i + f"def f{i}():\n" for i in range(99)) + " " * 99 + "pass"),
    Threat("elif_chain", "if 0: pass\n" + "elif 0: pass\n" * 50_000),
    Threat("pattern_deep", "match 1:\n    case " + "[" * 10_000 + "]" * 10_000 + ": pass"),
    Threat("type_parameters_deep", "type X = " + "list[" * 20_000 + "int" + "]" * 20_000),
    Threat("huge_flat_source", "x = 1\n" * 300_000),
    Threat("one_million_constants", "x = [" + "1," * 1_000_000 + "]"),
    Threat("huge_string_constant", "x = '" + "a" * 3_000_000 + "'"),
)
def test_source_text_that_is_too_deep_or_too_long(attack: Attack, threat: Threat) -> None:
    attack(threat.code, *DEEP_OR_FINE)


@pytest.mark.slow
@threats(
    Threat("function", "def f(): f()\nf()"),
    Threat("function_with_the_limit_raised", "import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()"),
    Threat("getattr", "class C:\n    def __getattr__(self, name): return getattr(self, name + 'x')\nC().a"),
    Threat("getattribute", "class C:\n    def __getattribute__(self, name): return self.a\nC().a"),
    Threat("eq", "class C:\n    def __eq__(self, other): return self == other\nC() == C()"),
    Threat("hash", "class C:\n    def __hash__(self): return hash(self)\nhash(C())"),
    Threat("repr", "class C:\n    def __repr__(self): return repr(self)\nrepr(C())"),
    Threat("str", "class C:\n    def __str__(self): return str(self)\nstr(C())"),
    Threat("add", "class C:\n    def __add__(self, other): return self + other\nC() + C()"),
    Threat("call", "class C:\n    def __call__(self): return self()\nC()()"),
    Threat("iter", "class C:\n    def __iter__(self): return iter(self)\nlist(C())"),
    Threat("bool", "class C:\n    def __len__(self): return bool(self)\nbool(C())"),
    Threat("index", "class C:\n    def __index__(self): return [1][self]\n[1][C()]"),
    Threat("contains", "class C:\n    def __contains__(self, x): return x in self\n1 in C()"),
    Threat("missing", "class D(dict):\n    def __missing__(self, key): return self[key + 1]\nD()[0]"),
    Threat("sort_key", "def key(x): return sorted([1, 2], key=key)[0]\nsorted([1, 2], key=key)"),
    Threat("map_in_map", "def f(x): return list(map(f, [x]))\nf(1)"),
    Threat("reduce", "import functools\ndef f(a, b): return functools.reduce(f, [a, b])\nf(1, 2)"),
    Threat("partial_of_partial", "import functools; p = print\nfor _ in range(10**5): p = functools.partial(p)\np()"),
    Threat("property", "class C:\n    a = property(lambda self: self.a)\nC().a"),
    Threat("metaclass_call", "class M(type):\n    def __call__(c): return c()\nclass C(metaclass=M): pass\nC()"),
    Threat("instancecheck", "class M(type):\n    def __instancecheck__(c, x): return isinstance(x, c)\nclass C(metaclass=M): pass\nisinstance(1, C)"),
    Threat("format", "class C:\n    def __format__(self, s): return format(self, s)\nf'{C()}'"),
    Threat("exec_in_exec", "s = 'exec(s)'\nexec(s)"),
    Threat("eval_of_eval", "s = 'eval(s)'\neval(s)"),
    Threat("generators_in_generators", "def g(x):\n    yield from x\nx = iter([1])\nfor _ in range(10**5): x = g(x)\nnext(x)"),
    Threat("chain_of_chains", "import itertools; x = iter([1])\nfor _ in range(10**6): x = itertools.chain(x)\nnext(x)"),
    Threat("maps_of_maps", "x = [1]\nfor _ in range(2 * 10**5): x = map(int, x)\nlist(x)"),
    Threat("chained_exceptions", "e = None\nfor _ in range(10**5):\n    n = ValueError(); n.__cause__ = e; e = n\nraise e"),
    Threat("nested_exception_groups", "e = ValueError()\nfor _ in range(10**4): e = ExceptionGroup('g', [e])\nraise e"),
    Threat("coroutines_deep", "async def f(): await f()\nf().send(None)"),
    Threat("import_hooks", "import sys\nclass F:\n    def find_spec(self, name, *a): return __import__(name + 'x')\nsys.meta_path.insert(0, F())\nimport nonesuch"),
)  # fmt: skip
def test_recursion_through_python_and_c(attack: Attack, threat: Threat) -> None:
    attack(
        threat.code,
        *(DEEP | ending("ImportError", "ModuleNotFoundError", "TypeError", "SystemError", "ExceptionGroup", FINE)),
    )


@pytest.mark.slow
@threats(
    Threat("repr_of_a_nested_list", NESTED_LIST + "repr(x)"),
    Threat("value_of_a_nested_list", NESTED_LIST + "x"),
    Threat("comparison_of_nested_lists", NESTED_LIST + "y = x\nx = []\nfor _ in range(200_000): x = [x]\nx == y"),
    Threat("hash_of_nested_tuples", "x = ()\nfor _ in range(200_000): x = (x,)\nhash(x)"),
    Threat("deallocation_of_nested_tuples", "x = ()\nfor _ in range(10**6): x = (x,)\ndel x"),
    Threat("deallocation_of_nested_objects", "class C: pass\nx = None\nfor _ in range(10**5):\n    c = C(); c.x = x; x = c\ndel x, c"),
    Threat("collection_of_nested_lists", NESTED_LIST + "import gc; gc.collect()"),
    Threat("deep_copy", NESTED_LIST + "import copy; copy.deepcopy(x)"),
    Threat("deep_pickle", NESTED_LIST + "import pickle; pickle.dumps(x)"),
    Threat("deep_unpickle", "import pickle; pickle.loads(b'(' * 10**6)"),
    Threat("deep_unpickle_of_lists", "import pickle; pickle.loads(b']' * 10**5 + b'a' * (10**5 - 1) + b'.')"),
    Threat("deep_json_read", "import json; json.loads('[' * 10**6)"),
    Threat("deep_json_read_of_objects", "import json; json.loads('{\"a\":' * 10**5)"),
    Threat("deep_json_write", NESTED_LIST + "import json; json.dumps(x)"),
    Threat("deep_marshal", "import marshal; marshal.loads(b'(' + b'\\x01\\0\\0\\0(' * 10**5)"),
    Threat("deep_msgpack", "import msgpack; msgpack.unpackb(b'\\x91' * 10**6)"),
    Threat("deep_literal", "import ast; ast.literal_eval('[' * 10**5 + ']' * 10**5)"),
    Threat("deep_literal_of_signs", "import ast; ast.literal_eval('-' * 10**5 + '1')"),
    Threat("deep_compile", "compile('(' * 10**5 + ')' * 10**5, 'f', 'eval')"),
    Threat("deep_tree_compiled", "import ast\nt = ast.Constant(1)\nfor _ in range(10**5): t = ast.UnaryOp(ast.USub(), t)\ncompile(ast.fix_missing_locations(ast.Expression(t)), 'f', 'eval')"),
    Threat("deep_tree_compiled_with_locations", "import ast\nt = ast.Constant(1, lineno=1, col_offset=0)\nfor _ in range(10**5): t = ast.UnaryOp(ast.USub(), t, lineno=1, col_offset=0)\ncompile(ast.Expression(t), 'f', 'eval')"),
    Threat("deep_regular_expression", "import re; re.compile('(' * 10**4 + ')' * 10**4)"),
    Threat("deep_regular_match", "import re; re.match('(?:' * 90 + 'a' + ')*' * 90, 'a' * 10**5)"),
    Threat("deep_xml", "import xml.etree.ElementTree as e; e.fromstring('<a>' * 10**5 + '</a>' * 10**5)"),
    Threat("deep_xml_written", "import xml.etree.ElementTree as e\nx = e.Element('a')\nfor _ in range(10**5):\n    y = e.Element('a'); y.append(x); x = y\ne.tostring(x)"),
    Threat("deep_html", "from html.parser import HTMLParser; HTMLParser().feed('<a>' * 10**5)"),
    Threat("deep_union_type", "x = int\nfor i in range(10**4): x = x | list[x]\nrepr(x)"),
    Threat("deep_generic_alias", "x = int\nfor _ in range(10**5): x = list[x]\nrepr(x), hash(x), x == x"),
    Threat("deep_format_string", "'{0' + '[0' * 10**5 + ']' * 10**5 + '}'.format([])"),
    Threat("deep_struct", "import struct; struct.calcsize('9' * 10**5 + 'x')"),
    Threat("deep_memoryview", "import array; m = memoryview(bytes(8))\nfor _ in range(10**5): m = memoryview(m)\nm.tobytes()"),
    Threat("deep_code_constants", "c = ()\nfor _ in range(10**5): c = (c,)\n(lambda: 0).__code__.replace(co_consts=c)"),
    Threat("deep_string_slices", "class S(str): pass\nx = S('a')\nfor _ in range(10**5): x = S(x)\nx"),
    Threat("cyclic_list_as_value", "x = []; x.append(x); x"),
    Threat("cyclic_dict_as_value", "x = {}; x['x'] = x; x"),
    Threat("shared_structure_as_value", "class L(list):\n    def __repr__(self): return 'small'\nx = L()\nfor _ in range(50): x = L([x, x])\nx"),
)  # fmt: skip
def test_data_that_is_too_deep(attack: Attack, threat: Threat) -> None:
    attack(threat.code, *(DEEP_OR_FINE | ending("EOFError", "UnpicklingError", "JSONDecodeError", "ParseError", "error",
        "PatternError", "ExtraData", "StackError", "FormatError", "TypeError", "KeyError", "IndexError", "OverflowError", "RuntimeError")))  # fmt: skip
