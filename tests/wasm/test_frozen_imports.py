"""Every frozen module imports in the guest, with no host behind the door: a frozen module that does not is dead weight.

The modules run under a host of a few lines, so that this tests the module and nothing of the engine.
"""

from functools import cache
from typing import Any

import msgpack
import pytest
import wasmtime

import divebell_wasm as wasm

pytestmark = pytest.mark.slow


NEEDS_SOMETHING_THAT_IS_NOT_FROZEN = {
    "bs4.builder._html5lib": "html5lib",
    "bs4.builder._lxml": "lxml",
    "dateutil.tz.win": "ctypes",
    "dateutil.tzwin": "ctypes",
}
"""Parts of packages that their packages themselves import only if they can."""

RUNS_WHEN_IMPORTED = {"unittest.__main__"}

REPORT_PREFIX = b"report:"
PROBE = """
import _divebell, warnings
warnings.simplefilter('ignore')
def report(text): _divebell.call(b'report:' + text.encode())
def dispatch(request): return b''
def attach(context): pass
def attach_value(packed): pass
def settle(): pass
"""


@cache
def compiled_module() -> tuple[wasmtime.Engine, wasmtime.Module]:
    """The guest, compiled once for all tests here: it takes seconds."""
    config = wasmtime.Config()
    config.wasm_bulk_memory = False
    engine = wasmtime.Engine(config)
    return engine, wasmtime.Module(engine, wasm.module_bytes())


def reports_of(source: str) -> list[str]:
    """Boot the guest with PROBE and `source` in the place of its own Python; return what they report."""
    engine, module = compiled_module()
    store = wasmtime.Store(engine)
    reports: list[str] = []

    def call(request: int, request_bytes: int, _response: int, _capacity_bytes: int) -> int:
        message = bytes(memory.read(store, request, request + request_bytes))
        if message.startswith(REPORT_PREFIX):
            reports.append(message.removeprefix(REPORT_PREFIX).decode())
        return 0

    door_type = wasmtime.FuncType([wasmtime.ValType.i32()] * 4, [wasmtime.ValType.i32()])
    exports: Any = wasmtime.Instance(store, module, [wasmtime.Func(store, door_type, call)]).exports(store)
    memory = exports["memory"]
    exports["_initialize"](store)
    payload = msgpack.packb({"divebell_guest": "", "divebell_guest.boot": PROBE + source})
    address = exports["divebell_reserve"](store, len(payload))
    memory.write(store, payload, address)
    assert exports["divebell_boot"](store, address, len(payload)) == 0
    return reports


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    names = [name for name in wasm.manifest().frozen_modules if name not in RUNS_WHEN_IMPORTED]
    lines = reports_of(f"""
for name in {names!r}:
    try:
        __import__(name)
    except BaseException as error:
        report(name + '=' + str(error))
report('all=done')
""")
    return dict(line.split("=", 1) for line in lines)


def test_every_frozen_module_imports(failures: dict[str, str]) -> None:
    assert failures.pop("all") == "done"
    assert failures.keys() == NEEDS_SOMETHING_THAT_IS_NOT_FROZEN.keys()
    for name, missing in NEEDS_SOMETHING_THAT_IS_NOT_FROZEN.items():
        assert missing in failures[name]


def test_what_the_frozen_modules_promise_works() -> None:
    reports = reports_of("""
import contextlib, gzip, io, pydoc, sysconfig, zlib
import bs4, dateutil.parser, more_itertools, sortedcontainers, tabulate
page = io.StringIO()
with contextlib.redirect_stdout(page):
    pydoc.help('for')
    pydoc.help(sortedcontainers.SortedList.add)
report(str('for_stmt' in page.getvalue() and 'Add `value`' in page.getvalue()))
report(str(sysconfig.get_config_var('SIZEOF_LONG')))
report(gzip.decompress(gzip.compress(b'there and back')).decode() + str(zlib.crc32(b'divebell')))
report(bs4.BeautifulSoup('<p class=a>x<b>y</b>', 'html.parser').select('p.a b')[0].text)
report(dateutil.parser.parse('3 May 2021 4pm').isoformat())
report(repr(list(more_itertools.chunked([1, 2, 3], 2))))
report(repr(sortedcontainers.SortedList([2, 1])))
report(tabulate.tabulate([[1, 2]], tablefmt='plain'))
""")
    assert reports == [
        "True",
        "4",
        "there and back4051390820",
        "y",
        "2021-05-03T16:00:00",
        "[[1, 2], [3]]",
        "SortedList([1, 2])",
        "1  2",
    ]
