"""Requests that no honest guest sends. The host answers each with an error value, within the cell's time, and lives."""

from collections.abc import Callable

import pytest

from divebell import Limits, Sandbox
from tests.support.threat import FINE, IN_TIME, LOST, Attack, Threat, ending, threats

ASK = """
import _divebell, msgpack
def ask(request): return msgpack.unpackb(_divebell.call(request), unicode_errors='surrogatepass')
def refused(request):
    answer = ask(request)
    assert answer['v'] == 1 and 'ok' not in answer and type(answer['error']['message']) is str, answer
    return answer['error']['kind']
def packed(op, **arguments): return msgpack.packb({'v': 1, 'op': op, **arguments}, unicode_errors='surrogatepass')
"""

MALFORMED = (
    Threat("garbage", "bytes(range(256))"),
    Threat("one_byte", "b'\\xc1'"),
    Threat("random_noise", "__import__('os').urandom(10_000)"),
    Threat("truncated_request", "packed('query', prompts=['hello'])[:-3]"),
    Threat("two_requests_in_one", "packed('clock') * 2"),
    Threat("request_that_is_a_list", "msgpack.packb([1, 'clock'])"),
    Threat("request_that_is_a_number", "msgpack.packb(1)"),
    Threat("request_that_is_nothing", "b'\\xc0'"),
    Threat("empty_map", "b'\\x80'"),
    Threat("wrong_version", "msgpack.packb({'v': 2, 'op': 'clock'})"),
    Threat("no_version", "msgpack.packb({'op': 'clock'})"),
    Threat("version_that_is_a_list", "msgpack.packb({'v': [1], 'op': 'clock'})"),
    Threat("unknown_operation", "packed('format_disk')"),
    Threat("operation_of_the_other_side", "packed('run', code='1')"),
    Threat("operation_that_is_a_list", "msgpack.packb({'v': 1, 'op': ['clock']})"),
    Threat("operation_that_is_bytes", "msgpack.packb({'v': 1, 'op': b'clock'})"),
    Threat("operation_with_a_dunder", "packed('__class__')"),
    Threat("operation_of_a_huge_integer", "b'\\x82\\xa1v\\x01\\xa2op' + msgpack.packb(msgpack.ExtType(1, b'\\x7f' * 4000))"),
    Threat("operation_of_a_huge_name", "packed('x' * 10**6)"),
    Threat("operation_with_surrogates", "packed('\\ud800')"),
    Threat("nested_lists_65_deep", "packed('clock', x=__import__('functools').reduce(lambda x, _: [x], range(65), 1))"),
    Threat("nested_lists_100000_deep", "b'\\x91' * 100_000 + b'\\xc0'"),
    Threat("nested_maps_100000_deep", "b'\\x81\\xa1a' * 100_000 + b'\\xc0'"),
    Threat("array_of_4_billion_claimed", "b'\\xdd\\xff\\xff\\xff\\xff'"),
    Threat("map_of_4_billion_claimed", "b'\\xdf\\xff\\xff\\xff\\xff'"),
    Threat("str_of_4_gigabytes_claimed", "b'\\xdb\\xff\\xff\\xff\\xff'"),
    Threat("bytes_of_4_gigabytes_claimed", "b'\\xc6\\xff\\xff\\xff\\xff'"),
    Threat("extension_of_4_gigabytes_claimed", "b'\\xc9\\xff\\xff\\xff\\xff\\x01'"),
    Threat("arrays_of_a_million_claimed_in_each_other", "b'\\xdd\\x00\\x0f\\x42\\x40' * 900"),
    Threat("array_of_2_million", "packed('clock', x=[0] * 2_000_000)"),
    Threat("key_that_cannot_be_hashed", "b'\\x81\\x91\\x01\\x01'"),
    Threat("key_that_is_a_map", "b'\\x81\\x80\\x01'"),
    Threat("unknown_extension", "packed('clock', x=msgpack.ExtType(42, b'x'))"),
    Threat("extension_of_an_integer_too_long", "packed('clock', x=msgpack.ExtType(1, b'\\x01' * 5000))"),
    Threat("timestamp", "packed('clock', x=msgpack.Timestamp(1))"),
    Threat("malformed_timestamp", "packed('clock', x=msgpack.ExtType(127, b'x'))[:-3] + b'\\xff\\xff\\xff'"),
    Threat("invalid_utf8", "b'\\x82\\xa1v\\x01\\xa2op\\xa2\\xff\\xfe'"),
    Threat("message_over_the_limit", "bytes(65 << 20)"),
    Threat("prompts_missing", "packed('query')"),
    Threat("prompts_that_are_a_str", "packed('query', prompts='abc')"),
    Threat("prompts_that_are_a_map", "packed('query', prompts={'a': 1})"),
    Threat("prompts_of_bytes", "packed('query', prompts=[b'x'])"),
    Threat("prompts_of_lists", "packed('query', prompts=[['x']])"),
    Threat("prompts_too_many", "packed('query', prompts=['x'] * 10_001)"),
    Threat("model_that_is_a_number", "packed('query', prompts=['x'], model=1)"),
    Threat("model_of_a_huge_name", "packed('query', prompts=['x'], model='m' * 201)"),
    Threat("children_without_contexts", "packed('child', prompts=['x'])"),
    Threat("children_with_too_few_contexts", "packed('child', prompts=['x', 'y'], contexts=[None])"),
    Threat("children_with_a_number_as_context", "packed('child', prompts=['x'], contexts=[1])"),
    Threat("negative_sleep", "packed('sleep', nanoseconds=-1)"),
    Threat("sleep_for_a_fraction", "packed('sleep', nanoseconds=0.5)"),
    Threat("sleep_for_a_bool", "packed('sleep', nanoseconds=True)"),
    Threat("sleep_for_nothing", "packed('sleep')"),
    Threat("sleep_of_4000_bytes", "packed('sleep', nanoseconds=msgpack.ExtType(1, b'\\x7f' * 4000))"),
)  # fmt: skip


@threats(*MALFORMED)
def test_a_malformed_request_is_answered_with_an_error_value(attack: Attack, threat: Threat) -> None:
    cell = attack(f"refused({threat.code})", *threat.ends, before=ASK)
    assert cell.value in ("BadRequest", "Unavailable", "ModelError")


@pytest.mark.slow
@threats(
    Threat("no_bytes", "_divebell.call('text')", ending("TypeError")),
    Threat("no_argument", "_divebell.call()", ending("TypeError")),
    Threat("a_bytes_subclass_that_lies", "class B(bytes):\n    def __len__(self): return 2**31 - 1\n_divebell.call(B(b'x'))"),
    Threat("an_empty_request", "assert _divebell.call(b'') == b''"),
    Threat("the_context_as_request", "_divebell.call(context.encode())"),
    Threat("giant_sleep", "ask(packed('sleep', nanoseconds=2**63))", IN_TIME),
    Threat("sleep_of_almost_a_float", "ask(packed('sleep', nanoseconds=msgpack.ExtType(1, b'\\x7f' + bytes(60))))", IN_TIME),
    Threat("thousand_giant_sleeps", "while True:\n    try: ask(packed('sleep', nanoseconds=2**63))\n    except TimeoutError: pass", IN_TIME),
    Threat("every_byte_alone", "for i in range(256): _divebell.call(bytes([i]))"),
    Threat("every_pair_of_bytes", "for i in range(65536): _divebell.call(bytes([i >> 8, i & 255]))", IN_TIME | {FINE}),
    Threat("freezing_the_image_again", "_divebell.immortalize(); _divebell.immortalize()", LOST | {FINE}),
    Threat("replaced_door", "_divebell.call = lambda request: b'\\x82\\xa1v\\x01\\xa2ok\\xc0'\nimport time; time.time(); budget()"),
    Threat("replaced_decoder", "import divebell_guest.wire as w; decode = w.decode; w.decode = lambda p: {'ok': 5}\nassert budget() == 5; w.decode = decode"),
    Threat("call_during_a_call", """
class B(bytes):
    def __bytes__(self): return _divebell.call(packed('clock'))
for _ in range(100): _divebell.call(bytes(B()))
"""),
    Threat("call_while_an_answer_waits", "llm_query_batched(['x' * 10] * 9000); _divebell.call(b''); _divebell.call(b'')"),
    Threat("ten_thousand_prompts", "assert len(llm_query_batched(['x'] * 10_000)) == 10_000", IN_TIME | {FINE}),
    Threat("prompt_of_30_megabytes", "assert llm_query('x' * 30_000_000) == '30000000 characters'", IN_TIME | ending(FINE, "MemoryError")),
    Threat("prompt_of_70_megabytes", "llm_query('x' * 70_000_000)", IN_TIME | ending("BadRequest", "MemoryError")),
    Threat("prompt_with_surrogates", "assert llm_query('\\ud800') == '1 characters'"),
)  # fmt: skip
def test_an_abused_door_stays_shut(attack: Attack, threat: Threat) -> None:
    attack(threat, before=ASK)


@pytest.mark.slow
def test_what_the_host_spends_on_malformed_requests_counts_against_the_cell(alone: Callable[..., str]) -> None:
    """A request of a megabyte takes the host tens of milliseconds to read, and the guest nothing to send."""
    script = f"""
from divebell import Limits, Sandbox
box = Sandbox(limits=Limits(cell_seconds=0.5, grace_seconds=0.3))
box.run({ASK!r})
box.run("b = packed('nonesuch', x=[0] * 900_000)")
cell = box.run("for _ in range(1000): _divebell.call(b)")
print(cell.error.kind, box.run("6 * 7").value)
"""
    assert alone(script, seconds=15).split() in (["TimeoutError", "42"], ["Killed", "42"])


def test_empty_requests_count_as_door_calls() -> None:
    with Sandbox(limits=Limits(door_calls=100)) as box:
        cell = box.run("import _divebell\nfor _ in range(1000): _divebell.call(b'')")
        assert cell.error is not None
        assert cell.error.kind == "RuntimeError"


def test_over_its_door_calls_a_cell_gets_an_error_and_the_next_cell_starts_anew() -> None:
    with Sandbox(llm=lambda prompt: prompt, limits=Limits(door_calls=10)) as box:
        cell = box.run("answers = []\nwhile True: answers.append(llm_query('x'))")
        assert cell.error is not None
        assert cell.error.kind == "RuntimeError"
        assert box.run("len(answers)").value == 10
        assert box.run("llm_query('again')").value == "again"


@pytest.mark.slow
def test_a_recursive_structure_of_a_million_claims_does_not_take_the_hosts_memory(alone: Callable[..., str]) -> None:
    """Each of a thousand nested headers claims a million items: 8 GB of pointers, if room were made for what is claimed."""
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
from divebell import Sandbox
box = Sandbox()
box.run({ASK!r})
before = int(open("/proc/self/statm").read().split()[0])
limit = (before * 4096) + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
cell = box.run(r"refused(b'\\xdd\\x00\\x0f\\x42\\x40' * 900)")
print(cell.value)
"""
    assert alone(script).strip() == "BadRequest"


@pytest.mark.parametrize(
    "op", ["query", "child", "tool", "submit", "wait", "cancel", "check_answer", "budget", "clock", "sleep"]
)
def test_every_operation_survives_arguments_of_every_type(op: str, short_limits: Limits) -> None:
    with Sandbox(llm=lambda prompt: prompt, limits=short_limits) as box:
        box.run(ASK)
        cell = box.run(
            "values = [None, True, -1, 2**64 - 1, -2**63, 1.5, float('nan'), '', 'x', b'x', [], [None], [''], {}, {'a': 1}]\n"
            "for a in values:\n"
            "    for b in values:\n"
            f"        if {op!r} != 'sleep' or type(a) is not int or a < 0:\n"
            f"            r = ask(packed({op!r}, prompts=a, contexts=b, model=b, nanoseconds=a, name=a,\n"
            "                arguments=b, keyword_arguments=a, call=a, tickets=b, seconds=0, schema=b, images=a, value=b))\n"
            "            assert r['v'] == 1 and ('ok' in r) != ('error' in r)\n"
        )
        assert cell.error is None, cell.error
        assert box.run("1 + 1").value == 2
