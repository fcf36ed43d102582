"""Cells that change the interpreter around them, and this package's own code in it. They may lie about themselves and
spoil their own cell; never another sandbox, and never the host."""

import pytest

from divebell import Cell, Limits, Sandbox
from tests.support.threat import FINE, IN_TIME, LOST, Attack, Threat, ending, threats

SPOILT = LOST | ending(
    FINE, "RuntimeError", "TypeError", "NameError", "AttributeError", "ImportError", "SystemError", "ValueError"
)
FINALIZER = "class C:\n    def __del__(self):\n        while True: pass\n"


@pytest.mark.slow
@threats(
    Threat("unfreeze_the_collector", "import gc; gc.unfreeze(); gc.collect(); gc.freeze(); gc.collect()", IN_TIME | {FINE}),
    Threat("collect_all_the_time", "import gc; gc.set_threshold(1)\nx = [[i] for i in range(10_000)]\ngc.set_threshold(2000)", IN_TIME | {FINE}),
    Threat("collector_callbacks", "import gc; gc.callbacks.append(lambda *a: 1 / 0); gc.collect(); gc.callbacks.clear()"),
    Threat("trace_everything", "import sys; sys.settrace(lambda *a: None)\nfor i in range(100): pass\nsys.settrace(None)"),
    Threat("trace_that_loops", "import sys\ndef t(*a):\n    while True: pass\nsys.settrace(t)\n(lambda: 0)()", IN_TIME),
    Threat("profile_that_raises", "import sys\nsys.setprofile(lambda *a: 1 / 0)\nlen([])", ending("ZeroDivisionError")),
    Threat("monitoring", "import sys; m = sys.monitoring; m.use_tool_id(0, 'x'); m.set_events(0, m.events.LINE); m.register_callback(0, m.events.LINE, lambda *a: m.DISABLE); m.set_events(0, 0); m.free_tool_id(0)"),
    Threat("audit_hook", "import sys; sys.addaudithook(lambda *a: None)"),
    Threat("exception_hook", "import sys; sys.excepthook = lambda *a: 1 / 0; 1 / 0", ending("ZeroDivisionError")),
    Threat("display_hook", "import sys; sys.displayhook = lambda v: 1 / 0; 5"),
    Threat("unraisable_hook", "import sys\nsys.unraisablehook = lambda u: 1 / 0\nclass C:\n    def __del__(self): 1 / 0\nC(); 5"),
    Threat("breakpoint", "import sys; sys.breakpointhook = lambda: 5; breakpoint()"),
    Threat("debugger", "import pdb; pdb.set_trace()", ending(FINE, "BdbQuit", "EOFError", "ModuleNotFoundError")),
    Threat("switch_interval", "import sys; sys.setswitchinterval(1e-9)"),
    Threat("overwritten_stdout", "import sys; sys.stdout = sys.stderr = sys.__stdout__ = None; print('x')"),
    Threat("stdout_that_loops", "import sys\nclass O:\n    def write(self, t):\n        while True: pass\nsys.stdout = O(); print('x')", IN_TIME),
    Threat("stdout_deleted", "import sys; del sys.stdout, sys.stderr; print('x')", ending("RuntimeError")),
    Threat("overwritten_contract", "llm_query = FINAL = answer = context = budget = None; FINAL_VAR = SHOW_VARS = 5"),
    Threat("deleted_contract", "del llm_query, FINAL, answer, context"),
    Threat("name_of_the_value_taken", "__divebell_value__ = 5; del __divebell_value__; 6"),
    Threat("name_of_the_value_deleted", "class C:\n    def __repr__(self): globals().pop('__divebell_value__', 0); return 'x'\nC()"),
    Threat("replaced_traceback_module", "import traceback; traceback.TracebackException = None; 1 / 0", ending("ZeroDivisionError")),
    Threat("frames_walked_and_changed", "import sys\nf = sys._getframe().f_back\nwhile f: f.f_locals.update(code=0, value=0, error=0, outcome=0); f = f.f_back", SPOILT),
    Threat("frame_of_the_runner_cleared", "import sys; sys._getframe(1).clear()", SPOILT),
    Threat("every_code_object_replaced_in_the_cell", "import gc, types\nfor o in gc.get_objects():\n    if isinstance(o, types.FunctionType) and o.__module__ == 'nonesuch': o.__code__ = (lambda: 0).__code__"),
    Threat("finalizer_that_loops", FINALIZER + "C()\n5", IN_TIME | {FINE}),
    Threat("finalizer_at_the_end_of_the_cell", FINALIZER + "x = C()\nx = None", IN_TIME | {FINE}),
    Threat("finalizer_in_a_cycle", FINALIZER + "x = C(); x.x = x; del x\nimport gc; gc.collect()", IN_TIME | {FINE}),
    Threat("finalizer_that_resurrects", "class C:\n    def __del__(self): global kept_alive; kept_alive = self\nfor _ in range(1000): C()"),
    Threat("finalizer_that_makes_another", "class C:\n    def __del__(self): C()\nC()", IN_TIME | LOST | ending("RecursionError", FINE)),
    Threat("weak_reference_callback_that_loops", "import weakref\nclass C: pass\ndef f(r):\n    while True: pass\nc = C(); r = weakref.ref(c, f); del c", IN_TIME | {FINE}),
    Threat("weakref_finalize_that_loops", "import weakref\nclass C: pass\ndef f():\n    while True: pass\nc = C(); weakref.finalize(c, f); del c", IN_TIME | {FINE}),
    Threat("codec_that_loops", "import codecs\ndef s(name):\n    while True: pass\ncodecs.register(s); 'x'.encode('nonesuch')", IN_TIME),
    Threat("random_state_broken", "import random; random.random = random._inst = None"),
    Threat("reload_of_the_guest", "import importlib, divebell_guest.cell; importlib.reload(divebell_guest.cell)", SPOILT | ending("ModuleNotFoundError")),
    Threat("run_inside_a_run", "import divebell_guest.cell as c; c.run('5', 1, 10, 1.0)", SPOILT | {FINE}),
    Threat("dispatch_inside_a_run", "import divebell_guest.boot as b, divebell_guest.wire as w\nb.dispatch(memoryview(w.encode({'v': 1, 'op': 'run', 'code': '1', 'number': 1, 'output_characters': 1, 'cell_seconds': 1.0})))", SPOILT),
)  # fmt: skip
def test_a_cell_that_changes_the_interpreter_spoils_at_most_itself(attack: Attack, threat: Threat) -> None:
    attack(threat)


@threats(
    Threat("encoder_returns_noise", "import divebell_guest.wire as w; w.encode = lambda *a: b'\\xc1' * 50"),
    Threat("encoder_returns_no_bytes", "import divebell_guest.wire as w; w.encode = lambda *a: 'text'"),
    Threat("encoder_returns_nothing", "import divebell_guest.wire as w; w.encode = lambda *a: b''"),
    Threat("encoder_returns_another_version", "import divebell_guest.wire as w; e = w.encode; w.encode = lambda *a: e({'v': 9, 'ok': None})"),
    Threat("encoder_returns_a_list", "import divebell_guest.wire as w; e = w.encode; w.encode = lambda *a: e([1, 2])"),
    Threat("encoder_returns_neither", "import divebell_guest.wire as w; e = w.encode; w.encode = lambda *a: e({'v': 1})"),
    Threat("encoder_returns_100_megabytes", "import divebell_guest.wire as w; w.encode = lambda *a: bytes(40 << 20)"),
    Threat("encoder_returns_two_million_items", "import divebell_guest.wire as w; w.encode = lambda *a: b'\\x82\\xa1v\\x01\\xa2ok\\xdd\\x00\\x1e\\x84\\x80' + bytes(2_000_000)"),
    Threat("encoder_raises", "import divebell_guest.wire as w\ndef f(*a): raise KeyboardInterrupt\nw.encode = f"),
    Threat("encoder_loops", "import divebell_guest.wire as w\ndef f(*a):\n    while True: pass\nw.encode = f"),
    Threat("builtins_cleared", "import builtins; builtins.__dict__.clear()"),
)  # fmt: skip
@pytest.mark.slow
def test_a_garbled_answer_costs_the_cell_that_garbled_it(attack: Attack, threat: Threat) -> None:
    attack(threat.code, *LOST)


OUTCOME = {"stdout": "", "stderr": "", "missing": 0, "repr": None, "error": None, "final": None}


def _forged(outcome: str) -> str:
    return f"import divebell_guest.boot as b, divebell_guest.wire as w\ne = w.encode\nw.encode = lambda *a: (setattr(w, 'encode', e), e({{'v': 1, 'ok': {outcome}}}))[1]"


@threats(
    Threat("outcome_that_is_a_number", _forged("5")),
    Threat("outcome_that_is_a_list", _forged("[1, 2]")),
    Threat("outcome_of_nothing", _forged("{}")),
    Threat("outcome_with_wrong_types", _forged("{'stdout': 1, 'stderr': [], 'repr': {}, 'error': 'x', 'final': 5, 'missing': 'x'}")),
    Threat("outcome_with_huge_texts", _forged("{'stdout': 'x' * 10**6, 'stderr': 'x' * 10**6, 'repr': 'x' * 10**6}")),
    Threat("outcome_with_bytes_as_keys", _forged("{b'stdout': 1, 5: 2, None: 3}")),
)  # fmt: skip
def test_a_forged_outcome_is_cut_to_its_types_and_bounds(attack: Attack, threat: Threat) -> None:
    cell = attack(threat)
    assert isinstance(cell.stdout, str)
    assert isinstance(cell.stderr, str)
    assert isinstance(cell.repr, str | None)
    assert isinstance(cell.final, str | None)
    assert isinstance(cell.truncated, bool)
    assert cell.error is None


def test_a_forged_error_is_cut_to_its_types_and_bounds(attack: Attack) -> None:
    cell = attack(_forged("{'error': {'kind': 'K' * 10**6, 'message': 7, 'traceback': 't' * 10**6}}"), "K" * 200)
    assert cell.error is not None
    assert cell.error.message == ""
    assert len(cell.error.traceback) <= 50_000


@threats(
    Threat("operations_cleared", "import divebell_guest.boot as b; b.OPERATIONS.clear()"),
    Threat("run_replaced_by_garbage", "import divebell_guest.boot as b; b.OPERATIONS['run'] = lambda **a: object()"),
    Threat("cell_code_replaced", "import divebell_guest.cell as c\nc.run.__code__ = (lambda code, number, output_characters, cell_seconds: 1 / 0).__code__"),
    Threat("decoder_replaced", "import divebell_guest.wire as w; w.decode = lambda p: 1 / 0"),
    Threat("finish_replaced", "import divebell_guest.namespace as m; m.final_answer = None"),
    Threat("namespace_replaced", "import divebell_guest.namespace as m; m.bindings = None"),
    Threat("compile_replaced", "import builtins; builtins.compile = None"),
    Threat("exec_replaced", "import builtins; builtins.exec = lambda *a: None"),
    Threat("isinstance_replaced", "import builtins; builtins.isinstance = lambda *a: True"),
    Threat("linecache_cleared", "import linecache; linecache.cache = None"),
    Threat("modules_forgotten", "import sys; sys.modules.clear()"),
    Threat("guest_modules_cleared", "import sys\nfor m in list(sys.modules):\n    if m.startswith('divebell'): sys.modules[m].__dict__.clear()"),
    Threat("output_broken", "import divebell_guest.cell as c; c.stdout.reset = c.stdout.take = lambda *a: 1 / 0"),
)  # fmt: skip
def test_a_cell_that_breaks_the_guests_own_machinery_leaves_a_usable_sandbox(threat: Threat) -> None:
    """The damage shows in the next cell at the earliest; it must not stay for ever. One failing cell is fair."""
    with Sandbox(limits=Limits(cell_seconds=0.5, grace_seconds=0.3)) as box:
        box["kept"] = 7
        box.run(threat.code)
        cells: list[Cell] = [box.run("kept * 6") for _ in range(2)]
        assert cells[-1].value == 42, [cell.error or cell for cell in cells]


def test_a_cell_cannot_forge_the_answer_of_a_later_cell(short_limits: Limits) -> None:
    with Sandbox(limits=short_limits) as box:
        assert box.run("FINAL('forged'); raise SystemExit").final in ("forged", None)
        assert box.run("1 + 1").final is None
        assert box.run("FINAL('early'); 1 / 0").final is None
        assert box.run("1 + 1").final is None
        assert box.run("answer['ready'] = True; 1 / 0").final is None
        assert box.run("1 + 1").final is None
