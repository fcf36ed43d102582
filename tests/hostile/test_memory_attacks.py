"""Cells that want more memory than they may have. Over the limit: MemoryError, and the host's memory is not touched."""

import resource

import pytest

from tests.support.threat import IN_TIME, Attack, Threat, ending, threats

# BrokenGuest: there is not even memory for the answer.
FULL = ending("MemoryError", "BrokenGuest")


@pytest.mark.slow
@threats(
    Threat("huge_str", "'a' * 10**9 * 4", FULL | ending("OverflowError")),
    Threat("huge_bytes", "bytes(2**31 - 100)", FULL),
    Threat("huge_bytearray_grown", "b = bytearray()\nwhile True: b += bytes(1 << 20)", FULL),
    Threat("huge_list", "[0] * (1 << 29)", FULL),
    Threat("huge_list_grown", "x = []\nwhile True: x.append('x' * 1000)", FULL | IN_TIME),
    Threat("huge_dict", "x = {}\nfor i in range(10**9): x[i] = str(i)", FULL | IN_TIME),
    Threat("huge_set", "set(range(10**8))", FULL | IN_TIME),
    Threat("huge_join", "','.join(['x' * 10**6] * 1000)", FULL),
    Threat("huge_format", "f'{1:>{2**30}}'", FULL),
    Threat("huge_percent_format", "'%*d' % (2**30, 1)", FULL),
    Threat("huge_ljust", "'x'.ljust(2**30)", FULL),
    Threat("huge_expandtabs", "('\\t' * 1000).expandtabs(2**21)", FULL | ending("OverflowError")),
    Threat("huge_translate", "('a' * 10**6).translate({97: 'b' * 10**4})", FULL),
    Threat("huge_regular_substitution", "import re; re.sub('a', 'b' * 10**4, 'a' * 10**6)", FULL | ending("OverflowError")),
    Threat("huge_shift", "1 << (1 << 30)", FULL | IN_TIME | ending("OverflowError") | ending("Crash")),
    Threat("huge_array", "import array; array.array('Q', bytes(8)) * 10**8", FULL),
    Threat("huge_string_io", "import io; s = io.StringIO()\nwhile True: s.write('x' * 10**6)", FULL),
    Threat("huge_decompression", "import zlib; zlib.decompress(zlib.compress(bytes(30 << 20)) * 1, bufsize=1 << 30)", FULL),
    Threat("doubling_list", "x = [1]\nwhile True: x += x", FULL),
    Threat("doubling_str", "x = 'ab'\nwhile True: x += x", FULL),
    Threat("copies_of_the_context", "x = []\nwhile True: x.append(context + str(len(x)))", FULL),
    Threat("billion_laughs", "x = 'lol'\nfor _ in range(40): x = [x] * 10\nstr(x)", FULL | IN_TIME),
    Threat("exception_groups_for_ever", "e = ValueError()\nwhile True: e = ExceptionGroup('g', [e, e])", FULL | IN_TIME),
    Threat("classes_for_ever", "x = []\nwhile True: x.append(type('C', (), {}))", FULL | IN_TIME),
    Threat("interned_strings_for_ever", "import sys; x = []\nwhile True: x.append(sys.intern('k' * 100 + str(len(x))))", FULL | IN_TIME),
    Threat("cycles_with_the_collector_off", "import gc; gc.disable()\nwhile True:\n    x = [0] * 1000; x.append(x)", FULL | IN_TIME),
    Threat("variables_for_ever", "while True: globals()[f'v{len(globals())}'] = 'x' * 10**4", FULL | IN_TIME),
    Threat("dictionary_of_a_million_keys", "{i: i for i in range(10**6)}", FULL | IN_TIME | ending(None)),
)  # fmt: skip
def test_a_cell_cannot_take_more_than_its_limit(attack: Attack, threat: Threat) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attack(threat)
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown_bytes < 512 << 20
