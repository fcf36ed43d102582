"""Cells that say too much, or whose values, errors and outputs are traps for whoever describes them."""

import pytest

from divebell import Limits, NotPlainDataError, Sandbox, SandboxError
from tests.support.threat import FINE, IN_TIME, LOST, Attack, Threat, ending, threats


@pytest.mark.slow
@threats(
    Threat("endless_printing", "while True: print('spam' * 100)", ending("TimeoutError")),
    Threat("endless_printing_to_stderr", "import sys\nwhile True: print('spam' * 100, file=sys.stderr)", ending("TimeoutError")),
    Threat("one_giant_print", "print('x' * 20_000_000)"),
    Threat("one_giant_line_of_many_writes", "import sys\nfor _ in range(100_000): sys.stdout.write('x')"),
    Threat("writelines", "import sys; sys.stdout.writelines(['x' * 1000] * 10_000)"),
    Threat("giant_value", "'x' * 20_000_000"),
    Threat("giant_list_as_value", "list(range(500_000))"),
    Threat("giant_error_message", "raise ValueError('x' * 10_000_000)", ending("ValueError")),
    Threat("giant_syntax_error", "x = '" + "a" * 100_000, ending("SyntaxError")),
    Threat("giant_name_in_error", "globals()['x' * 10**6]", ending("KeyError")),
    Threat("giant_variable_name", "exec('x' * 10**6)", ending("NameError")),
    Threat("many_notes", "e = ValueError()\nfor i in range(10**5): e.add_note('n' * 100)\nraise e", ending("ValueError") | IN_TIME),
    Threat("thousand_frames", "def f(n):\n    if n: f(n - 1)\n    1 / 0\nf(900)", ending("ZeroDivisionError", "RecursionError")),
    Threat("terminal_escapes", "print('\\x1b]0;title\\x07\\x1b[2J')"),
    Threat("lone_surrogates", "print('\\ud800'); '\\udfff'"),
    Threat("null_characters", "print('\\0' * 100); '\\0'"),
    Threat("writing_to_descriptor_1", "import os; os.write(1, b'x' * 10_000_000)", ending("OSError")),
    Threat("writing_to_descriptor_2", "import os\nfor _ in range(1000): os.write(2, b'x' * 100_000)", ending(FINE, "OSError")),
    Threat("opening_descriptor_1", "f = open(1, 'w'); f.write('x' * 10**7); f.flush()", ending("OSError")),
    Threat("faulthandler", "import faulthandler; faulthandler.dump_traceback(file=2)", LOST | ending("OSError", "ModuleNotFoundError", "AttributeError", FINE)),
)  # fmt: skip
def test_an_output_flood_is_cut_and_counted(attack: Attack, threat: Threat) -> None:
    cell = attack(threat)
    assert len(cell.stdout) <= 10_200
    assert len(cell.stderr) <= 10_200
    assert len(cell.repr or "") <= 20_400
    assert cell.error is None or len(cell.error.traceback) <= 50_000


CLASS = "class C:\n    def __{0}__(self, *a): {1}\n"
RAISING_ERROR = "class E(Exception):\n    def __{0}__(self): {1}\nraise E()"


@pytest.mark.slow
@threats(
    Threat("repr_that_loops", CLASS.format("repr", "\n        while True: pass") + "C()", ending("TimeoutError")),
    Threat("repr_that_raises", CLASS.format("repr", "1 / 0") + "C()", ending("ZeroDivisionError")),
    Threat("repr_that_exits", CLASS.format("repr", "raise SystemExit") + "C()", ending(FINE, "SystemExit")),
    Threat("repr_that_is_no_str", CLASS.format("repr", "return 1") + "C()", ending("TypeError")),
    Threat("repr_that_is_huge", CLASS.format("repr", "return 'x' * 30_000_000") + "C()"),
    Threat("repr_that_prints", CLASS.format("repr", "\n        while True: print('x')") + "C()", ending("TimeoutError")),
    Threat("repr_that_changes_builtins", CLASS.format("repr", "import builtins; builtins.len = None; return ''") + "C()",
           LOST | ending(FINE, "TypeError", "RuntimeError")),
    Threat("error_whose_str_loops", RAISING_ERROR.format("str", "\n        while True: pass"), ending("E", "TimeoutError")),
    Threat("error_whose_str_raises", RAISING_ERROR.format("str", "1 / 0"), ending("E")),
    Threat("error_whose_str_raises_itself", RAISING_ERROR.format("str", "raise self"), ending("E")),
    Threat("error_whose_str_exits", RAISING_ERROR.format("str", "raise SystemExit"), ending("E")),
    Threat("error_whose_str_is_no_str", RAISING_ERROR.format("str", "return 1"), ending("E")),
    Threat("error_whose_str_ignores_the_interrupt", RAISING_ERROR.format(
        "str", "\n        while True:\n            try:\n                while True: pass\n            except BaseException: pass"),
        ending("Killed")),
    Threat("error_without_a_class_name", "class M(type):\n    __name__ = property(lambda c: 1 / 0)\nclass E(Exception, metaclass=M): pass\nraise E()",
           ending("E", "Exception")),
    Threat("error_whose_class_name_is_no_str", "class M(type):\n    __name__ = property(lambda c: 7)\nclass E(Exception, metaclass=M): pass\nraise E()",
           ending("7", "E", "Exception")),
    Threat("error_that_is_its_own_cause", "e = ValueError(); e.__cause__ = e\nraise e", ending("ValueError")),
    Threat("errors_in_a_circle", "a, b = ValueError(), ValueError(); a.__context__ = b; b.__context__ = a\nraise a", ending("ValueError")),
    Threat("error_with_hostile_notes", "e = ValueError(); e.__notes__ = 7\nraise e", ending("ValueError")),
    Threat("error_with_looping_notes", "class N:\n    def __str__(self):\n        while True: pass\ne = ValueError(); e.__notes__ = [N()]\nraise e", ending("ValueError")),
    Threat("base_exception", "class E(BaseException): pass\nraise E('x')", ending("E")),
    Threat("keyboard_interrupt", "raise KeyboardInterrupt", ending("KeyboardInterrupt")),
    Threat("generator_exit", "raise GeneratorExit", ending("GeneratorExit")),
    Threat("stop_iteration", "raise StopIteration", ending("StopIteration")),
    Threat("system_exit_with_an_object", "raise SystemExit(object())"),
    Threat("syntax_error_with_hostile_fields", "raise SyntaxError('x', (object(), -5, 10**30, 7, 2, 3))", ending("SyntaxError", "TypeError")),
    Threat("unicode_error_with_hostile_fields", "raise UnicodeDecodeError('utf-8', b'abc', 10**6, -(10**6), 'x')", ending("UnicodeDecodeError")),
    Threat("endless_generator_as_value", "import itertools; itertools.count()"),
    Threat("endless_sequence_as_value", "class L(list):\n    def __iter__(self):\n        while True: yield 1\nL([1])", LOST | ending(FINE, "MemoryError")),
    Threat("dict_with_endless_items", "class D(dict):\n    def items(self):\n        while True: yield 'a', 1\n    def __repr__(self): return ''\nD(a=1)", LOST | {FINE}),
    Threat("dict_whose_items_lie", "class D(dict):\n    def items(self): return [(1, 2)] * 5\nD(a=1)", LOST | {FINE}),
    Threat("dict_whose_values_recurse", "class D(dict):\n    def values(self): return [self]\nD(a=1)", LOST | {FINE}),
    Threat("str_whose_length_lies", "class S(str):\n    def __len__(self): return 10**12\nS('a')", LOST | ending(FINE, "TypeError", "OverflowError")),
    Threat("str_whose_length_is_negative", "class S(str):\n    def __len__(self): return -5\nprint(S('a')); S('a')", LOST | ending(FINE, "ValueError")),
    Threat("int_with_a_hostile_repr", "class I(int):\n    def __repr__(self): return 1\nI(5)", ending("TypeError")),
    Threat("int_too_big_to_print", "10 ** 5000", ending("ValueError")),
    Threat("not_a_number_as_value", "float('nan'), float('inf'), -0.0"),
    Threat("keys_of_every_kind_as_value", "{1: 1, 1.5: 2, None: 3, b'x': 4, True: 5, (1, 2): 6}", LOST | {FINE}),
    Threat("value_with_a_hostile_class", "class C:\n    __class__ = property(lambda self: 1 / 0)\nC()", ending(FINE, "ZeroDivisionError")),
    Threat("value_that_claims_to_be_a_list", "class C:\n    __class__ = list\nC()", LOST | ending(FINE, "TypeError", "RuntimeError")),
    Threat("printing_of_a_hostile_str", "class S(str):\n    def __len__(self): 1 / 0\nprint(S('a'))", ending(FINE, "ZeroDivisionError")),
    Threat("writing_of_a_str_that_lies", "import sys\nclass S(str):\n    def __len__(self): return 0\nwhile True: sys.stdout.write(S('x' * 10**5))",
           IN_TIME | ending("MemoryError", "BrokenGuest")),
    Threat("writing_of_a_str_with_slices", "import sys\nclass S(str):\n    def __getitem__(self, i): return self\nsys.stdout.write(S('x' * 10**6))", LOST | {FINE}),
)  # fmt: skip
def test_whatever_describes_a_hostile_object_survives_it(attack: Attack, threat: Threat) -> None:
    attack(threat)


@threats(
    Threat("not_plain", "x = object()"),
    Threat("str_whose_encoding_raises", "class S(str):\n    def encode(self, *a): 1 / 0\n    def __str__(self): 1 / 0\nx = S('plain')"),
    Threat("str_subclass_with_hostile_methods", "class S(str):\n    __len__ = __hash__ = __eq__ = __iter__ = None\nx = S('plain')"),
    Threat("list_that_is_endless", "class L(list):\n    def __iter__(self):\n        while True: yield 1\nx = L([1])"),
    Threat("list_whose_length_lies", "class L(list):\n    def __len__(self): return 2**31\nx = L([1])"),
    Threat("list_that_grows_while_it_is_read", "class L(list):\n    def __getitem__(self, i): self.append(1); return 1\nx = L([1])"),
    Threat("dict_whose_items_are_endless", "class D(dict):\n    def items(self):\n        while True: yield 1, 1\nx = D(a=1)"),
    Threat("dict_whose_items_lie", "class D(dict):\n    def items(self): return [(1, 2)] * 9\nx = D(a=1)"),
    Threat("dict_whose_keys_are_lists", "class D(dict):\n    def items(self): return [([1], 2)]\nx = D(a=1)"),
    Threat("int_too_big", "x = 1 << 10**6"),
    Threat("cyclic", "x = []; x.append(x)"),
    Threat("too_deep", "x = 1\nfor _ in range(100): x = [x]"),
    Threat("shared_structure", "x = [1]\nfor _ in range(50): x = [x, x]"),
    Threat("too_many_items", "x = [0] * 1_500_000"),
    Threat("colliding_keys", "x = {i * (2**61 - 1): 0 for i in range(9, 4000)}"),
    Threat("extension_type", "import msgpack; x = msgpack.ExtType(5, b'x')"),
    Threat("timestamp", "import msgpack; x = msgpack.Timestamp(1)"),
)  # fmt: skip
@pytest.mark.slow
def test_fetching_a_hostile_variable_gives_plain_data_or_an_error_and_the_sandbox_lives(
    threat: Threat, short_limits: Limits
) -> None:
    with Sandbox(limits=short_limits) as box:
        box["kept"] = 7
        assert box.run(threat.code).ok
        try:
            got = box["x"]
        except (NotPlainDataError, SandboxError):
            pass
        else:
            assert type(got) in (str, list, dict, int)
        assert box.run("kept * 6").value == 42
        assert box["kept"] == 7


@pytest.mark.slow
def test_numbers_whose_hashes_collide_on_the_host_do_not_stop_it(alone: object) -> None:
    """CPython hashes an int modulo 2**61 - 1: as keys of one dict, multiples of that take quadratic time to insert."""
    script = (
        "from divebell import Limits, Sandbox\n"
        "box = Sandbox(limits=Limits(cell_seconds=10))\n"
        "box.run('{i * (2**61 - 1): 0 for i in range(9, 60_000)}')\n"
        "print(box.run('1 + 1').value)\n"
    )
    assert callable(alone)
    assert alone(script, seconds=15).strip() == "2"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FINAL", "FINAL_VAR", "answer"])
def test_a_hostile_answer_costs_its_own_cell_only(attack: Attack, name: str) -> None:
    hostile = "class C:\n    def __str__(self):\n        while True: pass\nx = C()\n"
    give = {
        "FINAL": "FINAL(x)",
        "FINAL_VAR": "FINAL_VAR('x')",
        "answer": "answer['content'] = x; answer['ready'] = True",
    }
    cell = attack(hostile + give[name], *IN_TIME)
    assert cell.final is None
