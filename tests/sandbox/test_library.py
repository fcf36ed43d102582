"""What the guest's standard library has of other libraries (sqlite3, bz2, lzma, time zones), and of CPython's own ways."""

import bz2
import lzma
import sqlite3
from typing import Any

import pytest

from divebell import Limits, Sandbox
from tests.support.cells import error_kind


@pytest.fixture(scope="module")
def box() -> Any:
    with Sandbox() as made:
        yield made


PROGRAMS = {
    "a table in memory": (
        "import sqlite3\ndb = sqlite3.connect(':memory:')\ndb.execute('create table t(name text, n real)')\n"
        "db.executemany('insert into t values (?, ?)', [('é', 1.5), ('b', 2), (None, 3)])\n"
        "db.execute('select name, sum(n) over (order by n) from t order by n').fetchall()",
        [["é", 1.5], ["b", 3.5], [None, 6.5]],
    ),
    "JSON": ("import sqlite3\nsqlite3.connect(':memory:').execute(\"select json_extract('{\\\"a\\\": [1, 2]}', '$.a[1]')\").fetchone()[0]", 2),
    "full-text search": (
        "import sqlite3\ndb = sqlite3.connect(':memory:')\ndb.execute('create virtual table d using fts5(body)')\n"
        "db.executemany('insert into d values (?)', [('the quick fox',), ('a lazy dog',), ('fox and dog',)])\n"
        "db.execute(\"select rowid from d where d match 'fox NOT dog'\").fetchall()",
        [[1]],
    ),
    "mathematics in SQL": ("import sqlite3\nsqlite3.connect(':memory:').execute('select round(sqrt(2), 3), pow(2, 10)').fetchone()", [1.414, 1024.0]),
    "functions, rows and dates": (
        "import sqlite3\ndb = sqlite3.connect(':memory:'); db.row_factory = sqlite3.Row\n"
        "db.create_function('double', 1, lambda x: 2 * x)\n"
        "row = db.execute(\"select double(21) as answer, date('2024-02-28', '+2 days') as day\").fetchone()\ndict(row)",
        {"answer": 42, "day": "2024-03-01"},
    ),
    "a database as bytes": (
        "import sqlite3\na = sqlite3.connect(':memory:'); a.execute('create table t(x)'); a.execute('insert into t values (7)'); a.commit()\n"
        "b = sqlite3.connect(':memory:'); b.deserialize(a.serialize())\nb.execute('select x from t').fetchone()[0], list(a.iterdump())[1]",
        [7, "CREATE TABLE t(x);"],
    ),
    "a backup": (
        "import sqlite3\na = sqlite3.connect(':memory:'); a.execute('create table t(x)'); b = sqlite3.connect(':memory:')\n"
        "a.backup(b)\nb.execute('select count(*) from sqlite_master').fetchone()[0]",
        1,
    ),
    "extensions cannot be loaded": ("import sqlite3\nhasattr(sqlite3.connect(':memory:'), 'enable_load_extension')", False),
    "bz2 and lzma, there and back": (
        "import bz2, lzma, gzip, io, zlib\ndata = bytes(range(256)) * 1000\n"
        "[m.decompress(m.compress(data)) == data for m in (bz2, lzma, gzip, zlib)], "
        "lzma.decompress(lzma.compress(data, format=lzma.FORMAT_ALONE)) == data, bz2.open(io.BytesIO(bz2.compress(data))).read(10)",
        [[True] * 4, True, bytes(range(10))],
    ),
    "the other system's bytes": (
        f"import bz2, lzma\nbz2.decompress({bz2.compress(b'from outside')!r}), lzma.decompress({lzma.compress(b'from outside')!r})",
        [b"from outside", b"from outside"],
    ),
    "damaged bytes are an error": (
        "import bz2, lzma\nkinds = []\nfor m in (bz2, lzma):\n    packed = bytearray(m.compress(b'x' * 10_000)); packed[len(packed) // 2] ^= 255\n"
        "    try: m.decompress(bytes(packed))\n    except Exception as e: kinds.append(type(e).__name__)\nkinds",
        ["OSError", "LZMAError"],
    ),
    "zoneinfo": (
        "from datetime import datetime, timezone\nfrom zoneinfo import ZoneInfo\n"
        "noon = datetime(2024, 7, 1, 12, tzinfo=timezone.utc)\n"
        "[noon.astimezone(ZoneInfo(z)).strftime('%H:%M %Z') for z in ('Asia/Tokyo', 'UTC', 'America/New_York', 'Europe/Berlin', 'Asia/Kolkata', 'US/Pacific')]",
        ["21:00 JST", "12:00 UTC", "08:00 EDT", "14:00 CEST", "17:30 IST", "05:00 PDT"],
    ),
    "far in the future and in the past": (
        "from datetime import datetime\nfrom zoneinfo import ZoneInfo\n"
        "[str(datetime(y, 7, 1, tzinfo=ZoneInfo('Europe/London')).utcoffset()) for y in (1850, 1950, 2099)]",
        ["0:00:00", "1:00:00", "1:00:00"],
    ),
    "dateutil's zones": (
        "from dateutil import tz, parser\nfrom datetime import datetime\nnoon = datetime(2024, 7, 1, 12, tzinfo=tz.UTC)\n"
        "[noon.astimezone(tz.gettz(z)).isoformat() for z in ('Asia/Tokyo', 'America/New_York', 'Europe/London')], "
        "tz.gettz('Mars/Base'), datetime(2099, 7, 1, tzinfo=tz.gettz('Europe/London')).utcoffset().seconds",
        [["2024-07-01T21:00:00+09:00", "2024-07-01T08:00:00-04:00", "2024-07-01T13:00:00+01:00"], None, 3600],
    ),
    "the names of all zones": (
        "import zoneinfo\nnames = zoneinfo.available_timezones()\nlen(names) > 400, {'Asia/Tokyo', 'UTC', 'America/Argentina/Salta'} <= names, "
        "all(zoneinfo.ZoneInfo(name).utcoffset(None) is None or True for name in names)",
        [True, True, True],
    ),
    "every zone is of some use": (
        "import datetime, zoneinfo\nday = datetime.datetime(2024, 1, 1)\n"
        "len({day.replace(tzinfo=zoneinfo.ZoneInfo(n)).utcoffset() for n in zoneinfo.available_timezones()}) > 30",
        True,
    ),
    "UTF-8 everywhere": (
        "import io, locale, sys\nopen('/tmp/u', 'w').write('é'); f = open('/tmp/u')\n"
        "sys.flags.utf8_mode, locale.getpreferredencoding(), locale.getencoding().lower(), f.encoding, sys.getfilesystemencoding(), io.text_encoding(None) in ('utf-8', 'locale'), open('/tmp/u', 'rb').read()",
        [1, "utf-8", "utf-8", "utf-8", "utf-8", True, "é".encode()],
    ),
    "a date without a year": (
        "import datetime, warnings\nwith warnings.catch_warnings(record=True) as said:\n    warnings.simplefilter('always')\n"
        "    day = datetime.datetime.strptime('12 March', '%d %B')\n(day.day, day.month), [w.filename.startswith('<cell') for w in said]",
        [[12, 3], [True]],
    ),
    "other dates": (
        "import calendar, datetime, time\nstr(datetime.datetime.strptime('29 Feb 2024 3:04 PM', '%d %b %Y %I:%M %p')), "
        "time.strptime('2024', '%Y').tm_year, calendar.month_abbr[3], datetime.date(2024, 3, 1).strftime('%A %d %B')",
        ["2024-02-29 15:04:00", 2024, "Mar", "Friday 01 March"],
    ),
    "where modules seem to be": (
        "import json, os, _strptime, inspect\njson.__file__, json.__path__, _strptime.__file__, inspect.getfile(json.dumps), os.path.basename(os.__file__), "
        "inspect.getmodule(json.dumps).__name__, json.__spec__.has_location",
        ["<frozen>/json/__init__.py", ["<frozen>/json"], "<frozen>/_strptime.py", "<frozen>/json/__init__.py", "os.py", "json", False],
    ),
    "every module has a file": (
        "import sys\nimport email.message, logging.handlers, xml.dom.minidom, bs4, dateutil.parser, msgpack\n"
        "[n for n, m in sys.modules.items() if 'FrozenImporter' in repr(getattr(m, '__loader__', None)) and not (getattr(m, '__file__', None) or '').startswith('<frozen>/')]",
        [],
    ),
    "f-strings that show what they were given": (
        "x = 5; w = 4\n[f'{x = }', f'{x=!r:>{w}}', f'''{\nx # five\n = }''', f'{f\"{x = }\"} {w = :d}', f'{ {1: x} = }']",
        ["x = 5", "x=   5", "\nx \n = 5", "x = 5 w = 4", " {1: x} = {1: 5}"],
    ),
    "very many expressions in f-strings": ("x = 1\ncode = '(' + ' '.join('f\"' + '{x}' * 255 + '\"' for _ in range(128)) + ')'\nlen(eval(code))", 255 * 128),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_library_does_what_it_does_elsewhere(box: Sandbox, name: str) -> None:
    code, value = PROGRAMS[name]
    cell = box.run(code)
    assert cell.error is None, cell.error
    assert cell.value == value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("__import__('string\\0')", "ModuleNotFoundError"),
        ("__import__('os\\0path')", "ModuleNotFoundError"),
        ("__import__('email.mime\\0')", "ModuleNotFoundError"),
        ("import importlib; importlib.import_module('json\\0.decoder')", "ModuleNotFoundError"),
        ("from zoneinfo import ZoneInfo; ZoneInfo('Mars/Base')", "ZoneInfoNotFoundError"),
        ("from zoneinfo import ZoneInfo; ZoneInfo('Asia/Tokio')", "ZoneInfoNotFoundError"),
        ("from zoneinfo import ZoneInfo; ZoneInfo('../../../tmp/x')", "ValueError"),
        ("from zoneinfo import ZoneInfo; ZoneInfo('/usr/share/zoneinfo/UTC')", "ValueError"),
        ("import sqlite3; sqlite3.connect(':memory:').execute('selec 1')", "OperationalError"),
        ("import sqlite3; sqlite3.connect('/no/such/folder/x.db')", "OperationalError"),
        ("import dbm.gnu", "ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_is_an_error_as_elsewhere(box: Sandbox, code: str, kind: str) -> None:
    assert error_kind(box.run(code)) == kind


ENDLESS = "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r"
ENDLESS_QUERIES = {
    "a recursive query": f"db.execute('{ENDLESS}')",
    "after the handler was taken away": f"db.set_progress_handler(None, 0); db.execute('{ENDLESS}')",
    "that is caught": f"import sqlite3\nwhile True:\n    try: db.execute('{ENDLESS}')\n    except sqlite3.Error: pass",
    "a join of everything": "db.execute('create table if not exists t(x)'); db.executemany('insert into t values (?)', [(i,) for i in range(2000)]); db.execute('select count(*) from t a, t b, t c, t d').fetchone()",
    "with a function of one's own": f"db.create_function('f', 1, lambda x: x); db.execute('{ENDLESS}'.replace('count(*)', 'sum(f(n))'))",
    "with a handler of one's own": f"db.set_progress_handler(lambda: 0, 1000); db.execute('{ENDLESS}')",
    "row by row": f"for row in db.execute('{ENDLESS}'.replace('count(*)', 'n')): pass",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS_QUERIES)
def test_an_endless_query_heeds_the_limit_and_loses_nothing(name: str) -> None:
    with Sandbox(limits=Limits(cell_seconds=0.5, grace_seconds=20)) as box:
        box.run("import sqlite3\ndb = sqlite3.connect(':memory:')\nkept = 5")
        # What a function of one's own raises is an OperationalError of the query, here as everywhere.
        ends = ("TimeoutError", "OperationalError") if "own" in name else ("TimeoutError",)
        assert error_kind(box.run(ENDLESS_QUERIES[name])) in ends
        assert box.run("kept, db.execute('select 6').fetchone()[0]").value == [5, 6]


@pytest.mark.slow
def test_a_query_that_no_interrupt_reaches_is_killed() -> None:
    with Sandbox(limits=Limits(cell_seconds=0.3, grace_seconds=0.3)) as box:
        box.run(
            "import sqlite3\ndb = sqlite3.connect(':memory:')\nkept = 5\ndb.set_progress_handler(lambda: 0, 2_000_000_000)"
        )
        assert error_kind(box.run(f"db.execute('{ENDLESS}')")) in ("Killed", "TimeoutError")
        assert box.run("kept, db.execute('select 6').fetchone()[0]").value == [5, 6]


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import sqlite3\ndb = sqlite3.connect(':memory:')\ndb.execute('create table t(x)')\nwhile True: db.execute('insert into t values (randomblob(1000000))')",
        "import sqlite3\nsqlite3.connect(':memory:').execute('select length(zeroblob(500000000) || randomblob(400000000))').fetchone()",
        "import bz2\nbomb = bz2.compress(bytes(100_000_000))\nbz2.decompress(bomb * 20)",
        "import lzma\nc = lzma.LZMACompressor()\nbomb = b''.join([c.compress(bytes(1_000_000)) for _ in range(300)]) + c.flush()\nlzma.decompress(bomb)",
        "import lzma\nlzma.LZMACompressor(preset=9)\nx = [lzma.LZMACompressor(preset=9) for _ in range(10)]",
        "import zipfile, io\nb = io.BytesIO()\nwith zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED) as z:\n    with z.open('x', 'w') as f:\n        for _ in range(200): f.write(bytes(1_000_000))\nzipfile.ZipFile(b).read('x')",
    ],
    ids=["a_table", "a_value", "bz2", "lzma", "compressors", "zip"],
)  # fmt: skip
def test_memory_of_libraries_counts_to_the_sandbox_s(code: str) -> None:
    with Sandbox(limits=Limits(memory_bytes=64 << 20, cell_seconds=60)) as box:
        box.run("kept = 5")
        assert error_kind(box.run(code)) in ("MemoryError", "OperationalError", "DataError")
        assert box.run("kept").value == 5


def damaged_databases() -> bytes:
    db = sqlite3.connect(":memory:")
    db.execute("create table t(x integer primary key, y text)")
    db.execute("create index i on t(y)")
    db.executemany("insert into t(y) values (?)", [("x" * (i % 50),) for i in range(500)])
    db.commit()
    return db.serialize()


def test_damaged_databases_are_errors(box: Sandbox) -> None:
    box["good"] = damaged_databases()
    cell = box.run("""
import random, sqlite3
random.seed(5)
seen = set()
for round in range(300):
    bad = bytearray(good)
    for _ in range(random.choice((1, 10, 100, 2000))):
        bad[random.randrange(len(bad)) if round % 2 else random.randrange(200)] = random.randrange(256)
    db = sqlite3.connect(':memory:')
    try:
        db.deserialize(bytes(bad[:random.randrange(1, len(bad) + 1)] if round % 3 == 0 else bad))
        for statement in ('select count(*), max(y), sum(x) from t', 'pragma integrity_check', 'select * from t order by y',
                          "insert into t(y) values ('new')", 'delete from t where x % 2', 'vacuum'):
            try: db.execute(statement).fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as error: seen.add(type(error).__name__)
    except sqlite3.Error as error: seen.add(type(error).__name__)
'DatabaseError' in seen
""")
    assert cell.error is None, cell.error
    assert cell.value is True
