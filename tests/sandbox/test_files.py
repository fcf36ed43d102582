"""Files that a cell writes: in the guest's own memory, bounded, and taken back, kept and copied with all other state."""

from typing import Any

import pytest

from divebell import Limits, Sandbox
from tests.support.cells import error_kind, value_of


@pytest.fixture(scope="module")
def shared_box() -> Any:
    with Sandbox() as made:
        yield made


@pytest.fixture
def box(shared_box: Sandbox) -> Any:
    """A sandbox without files; a fork is cheaper than a new one, and as empty."""
    with shared_box.fork() as made:
        yield made


# What each program prints on any other CPython.
PROGRAMS = {
    "write, append and read": (
        "with open('a.txt', 'w') as f: f.write('héllo\\n')\nwith open('/tmp/a.txt', 'a') as f: f.write('you\\n')\n"
        "open('a.txt').read(), open('a.txt', 'rb').read()",
        ["héllo\nyou\n", "héllo\nyou\n".encode()],
    ),
    "seek and overwrite": (
        "with open('a', 'wb+') as f:\n    f.write(b'0123456789'); f.seek(-4, 2); f.write(b'xy'); f.seek(0); got = f.read()\n"
        "got",
        b"012345xy89",
    ),
    "a hole is zeros": (
        "with open('a', 'wb') as f: f.seek(100_000); f.write(b'x')\n"
        "data = open('a', 'rb').read()\nlen(data), data.count(0), data[-1:]",
        [100_001, 100_000, b"x"],
    ),
    "what was cut off is zeros when it grows again": (
        "with open('a', 'wb+') as f:\n    f.write(b'x' * 50_000); f.truncate(20_000); f.truncate(40_000); f.seek(0)\n"
        "    data = f.read()\ndata.count(b'x'), data.count(0), len(data)",
        [20_000, 20_000, 40_000],
    ),
    "sizes around a block": (
        "import hashlib\nok = []\nfor n in (0, 1, 63, 64, 65, 16383, 16384, 16385, 32768, 100_001):\n"
        "    data = hashlib.shake_128(b'%d' % n).digest(n)\n    open('a', 'wb').write(data)\n"
        "    ok.append(open('a', 'rb').read() == data)\nall(ok), len(ok)",
        [True, 10],
    ),
    "folders": (
        "import os\nos.makedirs('a/b/c'); open('a/b/c/x', 'w').close(); open('a/y', 'w').close()\n"
        "sorted(os.listdir('a')), [(r, d, f) for r, d, f in os.walk('a')], os.path.isdir('a/b'), os.path.isfile('a/y')",
        [["b", "y"], [["a", ["b"], ["y"]], ["a/b", ["c"], []], ["a/b/c", [], ["x"]]], True, True],
    ),
    "scandir while removing": (
        "import os\nos.mkdir('many')\nfor i in range(1000): open(f'many/{i}', 'w').close()\nseen = 0\n"
        "for entry in os.scandir('many'):\n    os.unlink(entry.path); seen += 1\nseen, os.listdir('many')",
        [1000, []],
    ),
    "rename over a file": (
        "import os\nopen('a', 'w').write('new'); open('b', 'w').write('old')\nos.replace('a', 'b')\n"
        "open('b').read(), os.path.exists('a')",
        ["new", False],
    ),
    "rename a folder, with what is in it": (
        "import os\nos.makedirs('a/in'); open('a/in/x', 'w').write('x')\nos.rename('a', 'b')\n"
        "open('b/in/x').read(), os.listdir('.')",
        ["x", ["b"]],
    ),
    "rename onto itself": ("import os\nopen('a', 'w').write('x')\nos.rename('a', './a')\nopen('a').read()", "x"),
    "an open file outlives its name": (
        "import os\nf = open('a', 'w+'); f.write('still'); f.flush(); os.unlink('a')\nf.seek(0)\n"
        "f.read(), os.path.exists('a'), os.fstat(f.fileno()).st_nlink",
        ["still", False, 0],
    ),
    "appending through two descriptors": (
        "a = open('x', 'ab', 0); b = open('x', 'ab', 0)\nfor i in range(3): a.write(b'a'); b.write(b'b')\n"
        "open('x').read()",
        "ababab",
    ),
    "positioned reading and writing": (
        "import os\nfd = os.open('a', os.O_RDWR | os.O_CREAT)\nos.pwrite(fd, b'hello', 3)\n"
        "os.pread(fd, 3, 4), os.lseek(fd, 0, 1), os.close(fd)",
        [b"ell", 0, None],
    ),
    "times": (
        "import os\nopen('a', 'w').close(); os.utime('a', (1000, 2000))\nos.stat('a').st_mtime, os.stat('a').st_atime",
        [2000.0, 1000.0],
    ),
    "a new file is of now": ("import os, time\nopen('a', 'w').close()\nabs(time.time() - os.stat('a').st_mtime) < 60", True),
    "pathlib": (
        "from pathlib import Path\np = Path('/tmp/d'); p.mkdir(); (p / 'x.txt').write_text('é'); (p / 'y.csv').touch()\n"
        "sorted(q.name for q in p.iterdir()), [str(q) for q in p.glob('*.txt')], (p / 'x.txt').read_text(), str(Path.cwd())",
        [["x.txt", "y.csv"], ["/tmp/d/x.txt"], "é", "/tmp"],
    ),
    "tempfile": (
        "import os, tempfile\nwith tempfile.NamedTemporaryFile('w+', suffix='.txt') as f:\n    f.write('x'); f.flush()\n"
        "    name = f.name; inside = open(name).read()\nwith tempfile.TemporaryDirectory() as d:\n"
        "    open(os.path.join(d, 'a'), 'w').write('a'); there = os.listdir(d)\nwith tempfile.TemporaryFile() as g: g.write(b'x')\n"
        "with tempfile.SpooledTemporaryFile(10) as s:\n    s.write(b'y' * 100); s.seek(0); spooled = len(s.read())\n"
        "name.startswith('/tmp/'), inside, there, os.listdir('/tmp'), spooled",
        [True, "x", ["a"], [], 100],
    ),
    "shutil": (
        "import os, shutil\nos.makedirs('a/b'); open('a/b/x', 'w').write('x' * 70_000)\nshutil.copytree('a', 'c')\n"
        "shutil.move('c/b/x', 'y'); shutil.copy('y', 'z'); shutil.copy2('y', 'w'); shutil.rmtree('a')\n"
        "sorted(os.listdir('.')), len(open('z').read()), shutil.make_archive('all', 'zip', 'c')",
        [["c", "w", "y", "z"], 70_000, "/tmp/all.zip"],
    ),
    "csv and json": (
        "import csv, json\nwith open('a.csv', 'w', newline='') as f: csv.writer(f).writerows([['a', 'b'], ['é', '2']])\n"
        "json.dump({'x': [1, 'é']}, open('a.json', 'w'), ensure_ascii=False)\n"
        "list(csv.DictReader(open('a.csv'))), json.load(open('a.json'))",
        [[{"a": "é", "b": "2"}], {"x": [1, "é"]}],
    ),
    "archives": (
        "import os, tarfile, zipfile\nopen('x', 'w').write('x' * 1000)\nout = []\n"
        "for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):\n"
        "    with zipfile.ZipFile('a.zip', 'w', method) as z: z.write('x')\n"
        "    out.append(zipfile.ZipFile('a.zip').read('x') == b'x' * 1000)\n"
        "for mode in ('', 'gz', 'bz2', 'xz'):\n    with tarfile.open('a.tar', 'w:' + mode) as t: t.add('x')\n"
        "    os.makedirs('out', exist_ok=True)\n    tarfile.open('a.tar').extractall('out', filter='data')\n"
        "    out.append(open('out/x').read() == 'x' * 1000)\nout",
        [True] * 8,
    ),
    "a database in a file": (
        "import sqlite3\nwith sqlite3.connect('a.db') as db:\n    db.execute('create table t(x)')\n"
        "    db.executemany('insert into t values (?)', [(i,) for i in range(1000)])\ndb.close()\n"
        "sqlite3.connect('/tmp/a.db').execute('select count(*), sum(x) from t').fetchone()",
        [1000, 499_500],
    ),
    "shelve": (
        "import shelve\nwith shelve.open('s') as s: s['k'] = [1, 2]\nwith shelve.open('s') as s: got = s['k']\ngot",
        [1, 2],
    ),
    "logging to a file": (
        "import logging\nlogging.basicConfig(filename='log.txt', level='INFO', format='%(message)s')\n"
        "logging.info('said')\nopen('log.txt').read()",
        "said\n",
    ),
    "linecache and fileinput": (
        "import fileinput, linecache\nopen('a', 'w').write('one\\ntwo\\n')\n"
        "linecache.getline('/tmp/a', 2), list(fileinput.input(['a']))",
        ["two\n", ["one\n", "two\n"]],
    ),
    "a module from a file": (
        "import sys\nopen('helper_of_mine.py', 'w').write('def f(): return 5\\n')\nsys.path.insert(0, '/tmp')\n"
        "import helper_of_mine\nhelper_of_mine.f()",
        5,
    ),
    "nowhere": (
        "import contextlib, os\nwith open(os.devnull, 'w') as f, contextlib.redirect_stdout(f): print('x' * 100_000)\n"
        "f = open('/dev/null', 'r+b', 0)\nf.write(b'x' * 10), f.truncate(5), f.seek(0), f.read(), os.stat('/dev/null').st_size",
        [10, 5, 0, b"", 0],
    ),
    "the current folder": (
        "import os\nos.mkdir('d'); os.chdir('d'); open('x', 'w').close()\n"
        "os.getcwd(), os.path.exists('/tmp/d/x'), os.listdir('..'), os.path.abspath('x')",
        ["/tmp/d", True, ["d"], "/tmp/d/x"],
    ),
    "the way back out of a folder that is removed then": (
        "import os\nos.makedirs('d/e'); os.chdir('d/e'); places = []\n"
        "for path in ['..', '..', 'd/./e/..', '/tmp/../tmp/d', '../..', b'tmp']: os.chdir(path); places.append(os.getcwd())\n"
        "os.removedirs('d/e'); open('x', 'w').close()\nplaces, os.getcwd(), os.listdir('.')",
        [["/tmp/d", "/tmp", "/tmp/d", "/tmp/d", "/", "/tmp"], "/tmp", ["x"]],
    ),
    "descriptors that are opened without saying what for": (
        "import os\nopen('x', 'w').write('hi')\ngot = []\n"
        "for flags in (0, os.O_RDONLY, os.O_CREAT, os.O_RDWR): fd = os.open('x', flags); got.append(os.read(fd, 9)); os.close(fd)\n"
        "fd = os.open('new', os.O_CREAT | os.O_EXCL)\ntry: os.write(fd, b'x')\nexcept OSError as error: got.append(type(error).__name__)\n"
        "got, os.listdir('.'), os.open in os.supports_dir_fd",
        [[b"hi"] * 4 + ["OSError"], ["x", "new"], True],
    ),
    "dots": (
        "import os\nos.mkdir('d'); open('d/x', 'w').write('x')\n"
        "open('d/../d/./x').read(), os.path.realpath('../../tmp/d/x'), open('//tmp///d//x').read()",
        ["x", "/tmp/d/x", "x"],
    ),
    "what may be done": ("import os\n[os.access('/tmp', m) for m in (os.R_OK, os.W_OK, os.F_OK)], os.access('no', 0)", [[True] * 3, False]),
    "names of any kind": (
        "import os\nnames = ['é', '日本', 'a b', '*', '\\\\', '\\n', 'x' * 255, '.hidden', '...']\n"
        "for name in names: open(name, 'w').write(name)\nsorted(os.listdir('.')) == sorted(names), [open(n).read() for n in names] == names",
        [True, True],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_with_files_do_what_they_do_elsewhere(box: Sandbox, name: str) -> None:
    code, value = PROGRAMS[name]
    cell = box.run(code)
    assert cell.error is None, cell.error
    assert cell.value == value


# Each raises the error that it raises on Linux.
REFUSALS = {
    "a file that is not there": ("open('data.csv')", "FileNotFoundError"),
    "a file of the host": ("open('/etc/passwd')", "FileNotFoundError"),
    "outside of /tmp": ("open('/x', 'w')", "PermissionError"),
    "a folder outside of /tmp": ("import os; os.mkdir('/home')", "PermissionError"),
    "in a folder that is not there": ("open('no/x', 'w')", "FileNotFoundError"),
    "a folder as a file": ("import os; os.mkdir('d'); open('d')", "IsADirectoryError"),
    "a folder as a file to write": ("open('/tmp', 'w')", "IsADirectoryError"),
    "a file as a folder": ("import os; open('x', 'w').close(); os.listdir('x')", "NotADirectoryError"),
    "through a file": ("open('x', 'w').close(); open('x/y')", "NotADirectoryError"),
    "a file with a slash": ("open('x', 'w').close(); open('x/')", "NotADirectoryError"),
    "exclusively, though it is there": ("open('x', 'x').close(); open('x', 'x')", "FileExistsError"),
    "a folder that is there": ("import os; os.mkdir('d'); os.mkdir('d')", "FileExistsError"),
    "the folder itself again": ("import os; os.mkdir('.')", "FileExistsError"),
    "to remove a folder that is not empty": ("import os; os.makedirs('a/b'); os.rmdir('a')", "OSError"),
    "to remove a folder as a file": ("import os; os.mkdir('d'); os.unlink('d')", "IsADirectoryError"),
    "to remove a file as a folder": ("import os; open('x', 'w').close(); os.rmdir('x')", "NotADirectoryError"),
    "to remove /tmp": ("import os; os.rmdir('/tmp')", "PermissionError"),
    "to remove the root": ("import os; os.rmdir('/')", "OSError"),
    "to rename /tmp": ("import os; os.rename('/tmp', '/tmp2')", "PermissionError"),
    "to rename a folder into itself": ("import os; os.makedirs('a/b'); os.rename('a', 'a/b/c')", "OSError"),
    "to rename a file onto a folder": ("import os; os.mkdir('d'); open('x', 'w').close(); os.rename('x', 'd')", "IsADirectoryError"),
    "to rename a folder onto a file": ("import os; os.mkdir('d'); open('x', 'w').close(); os.rename('d', 'x')", "NotADirectoryError"),
    "to rename a folder onto a full one": ("import os; os.mkdir('a'); os.makedirs('b/c'); os.rename('a', 'b')", "OSError"),
    "to rename what is not there": ("import os; os.rename('a', 'b')", "FileNotFoundError"),
    "to write what is open for reading": ("open('x', 'w').close(); open('x').write('y')", "UnsupportedOperation"),
    "to write through a descriptor for reading": ("import os; open('x', 'w').close(); os.write(os.open('x', os.O_RDONLY), b'y')", "OSError"),
    "a name that is too long": ("open('x' * 256, 'w')", "OSError"),
    "a name with a null character": ("open('x\\0y', 'w')", "ValueError"),
    "a name with a surrogate": ("open('\\ud800', 'w')", "UnicodeEncodeError"),
    "before the beginning": ("import os; os.lseek(os.open('x', os.O_CREAT | os.O_RDWR), -1, 0)", "OSError"),
    "reading before the beginning": ("import os; os.pread(os.open('x', os.O_CREAT | os.O_RDWR), 1, -1)", "OSError"),
    "far beyond the end": ("f = open('x', 'wb'); f.seek(2**62); f.write(b'x'); f.flush()", "OSError"),
    "a huge file": ("open('x', 'wb').truncate(2**40)", "OSError"),
    "a negative size": ("import os; os.truncate(os.open('x', os.O_CREAT | os.O_RDWR), -1)", "OSError"),
    "a time zone cannot be changed": ("open('/usr/share/zoneinfo/UTC', 'w')", "PermissionError"),
    "nor removed": ("import os; os.unlink('/usr/share/zoneinfo/UTC')", "PermissionError"),
    "nor a new one made": ("open('/usr/share/zoneinfo/Mine', 'w')", "PermissionError"),
    "links": ("import os; os.symlink('a', 'b')", "PermissionError"),
    "hard links": ("import os; open('a', 'w').close(); os.link('a', 'b')", "PermissionError"),
    "a folder that was removed": ("import os; os.mkdir('d'); os.chdir('d'); os.rmdir('/tmp/d'); open('x', 'w')", "FileNotFoundError"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_is_refused_as_elsewhere(box: Sandbox, name: str) -> None:
    code, kind = REFUSALS[name]
    assert error_kind(box.run(code)) == kind
    assert box.run("open('/tmp/after', 'w').write('x'), open('/tmp/after').read()").value == [1, "x"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("open('data.csv')", "the input is the variable `context`"),
        ("import os; os.listdir('/data')", "the input is the variable `context`"),
        ("open('/etc/x', 'w')", "those that this code wrote, in /tmp"),
        ("open('out/x.txt', 'w')", "os.makedirs makes folders"),
        ("open('/x', 'w')", "in /tmp alone"),
        ("files = [open(f'{i}', 'w') for i in range(300)]", "255 files can be open at a time"),
        ("open('x', 'wb').truncate(2**40)", "1 GiB"),
        ("import sqlite3; sqlite3.connect('/data/sales.db')", "the input is the variable `context`"),
        ("import sqlite3; sqlite3.connect('/x.db')", "the input is the variable `context`"),
        ("import sqlite3; sqlite3.connect(':memory:').execute(\"attach '/x.db' as x\")", "in /tmp"),
        ("import urllib.request as u; u.urlopen('file:///etc/passwd')", "the input is the variable `context`"),
        ("import os; os.symlink('/tmp/a', '/tmp/b')", "There are no links here"),
        ("import os; os.link('/tmp/a', '/tmp/b')", "There are no links here"),
    ],
)
def test_the_traceback_says_what_is_particular_here(box: Sandbox, code: str, sentence: str) -> None:
    error = box.run(code).error
    assert error is not None
    assert sentence in error.traceback


@pytest.mark.parametrize(
    "code",
    [
        "import sqlite3; sqlite3.connect(':memory:').execute('select * from nothing')",
        "error = ValueError('x'); error.sqlite_errorname = ['SQLITE_CANTOPEN']; raise error",
        "error = OSError('x'); error.reason = 44; raise error",
        "class Odd(Exception):\n    def __getattr__(self, name): raise ValueError(name)\nraise Odd('x')",
    ],
)
def test_other_errors_get_no_word_about_files(box: Sandbox, code: str) -> None:
    error = box.run(code).error
    assert error is not None
    assert "Traceback" in error.traceback
    assert "files" not in error.traceback


def test_error_numbers_and_texts_stay_python_s_own(box: Sandbox) -> None:
    cell = box.run(
        "import errno\ntry: open('x')\nexcept FileNotFoundError as e: got = e.errno == errno.ENOENT, str(e)\ngot"
    )
    is_number_kept, text = value_of(cell)
    assert is_number_kept is True
    assert text.endswith("No such file or directory: 'x'")


def test_a_failed_cell_leaves_its_files_and_a_killed_one_does_not(box: Sandbox) -> None:
    box.run("open('kept', 'w').write('1')\nf = open('kept', 'a')")
    killed = "import os\nopen('kept', 'w').write('2'); open('new', 'w').write('x'); os.abort()"
    assert error_kind(box.run(killed)) in ("Crash", "Killed")
    assert box.run("import os\nos.listdir('.'), open('kept').read(), f.write('!'), f.flush(), open('kept').read()").value == [
        ["kept"], "1", 1, None, "1!",
    ]  # fmt: skip


def test_files_go_along_with_snapshots_and_forks(box: Sandbox) -> None:
    box.run("open('a', 'w').write('x' * 100_000)\nf = open('a', 'r+')\nf.seek(50_000)")
    saved = box.snapshot()
    with box.fork() as other:
        other.run("open('a', 'w').write('theirs'); open('b', 'w').write('theirs')")
        assert box.run("import os\nos.listdir('.'), os.stat('a').st_size, f.tell()").value == [["a"], 100_000, 50_000]
        assert other.run("import os\nsorted(os.listdir('.')), open('a').read()").value == [["a", "b"], "theirs"]
    box.run("import os\nos.unlink('a')")
    with Sandbox.restore(saved) as again:
        assert again.run("import os\nlen(open('a').read()), f.tell(), len(f.read())").value == [100_000, 50_000, 50_000]


def test_two_sandboxes_share_no_file(box: Sandbox, shared_box: Sandbox) -> None:
    box.run("open('secret', 'w').write('x')")
    with shared_box.fork() as other:
        assert other.run("import os\nos.listdir('/tmp')").value == []


def test_seeded_sandboxes_have_the_same_names_and_times() -> None:
    code = "import os, tempfile\nf, name = tempfile.mkstemp()\nname, os.stat(name).st_mtime_ns, os.stat(name).st_ino"
    with Sandbox(seed=5) as one, Sandbox(seed=5) as other, Sandbox(seed=6) as third:
        seen = [value_of(box.run(code)) for box in (one, other, third)]
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[2][0]


@pytest.mark.slow
def test_ten_thousand_files_and_then_the_bound(box: Sandbox) -> None:
    cell = box.run(
        "for i in range(10_000): open(f'{i}', 'w').close()\nimport os\nlen(os.listdir('.')), len(list(os.scandir('.')))"
    )
    assert cell.value == [10_000, 10_000]
    cell = box.run("for i in range(10_000): open(f'more{i}', 'w').close()")
    assert cell.error is not None
    assert "at most 16,384 of them" in cell.error.traceback
    cell = box.run("for name in os.listdir('.'): os.unlink(name)\nopen('again', 'w').write('x'), os.listdir('.')")
    assert cell.value == [1, ["again"]]


def test_folders_within_folders_have_a_bound(box: Sandbox) -> None:
    code = "import os, shutil\nmade = 0\ntry:\n    while True: os.mkdir('d'); os.chdir('d'); made += 1\nexcept OSError as e: pass\nmade"
    depth = value_of(box.run(code))
    assert 30 < depth < 100
    assert box.run("os.chdir('/tmp'); shutil.rmtree('d'); os.listdir('.')").value == []
    # Nor can they be put together to a deeper one.
    code = "os.makedirs('a/' + '/'.join('a' * 40)); os.makedirs('b/' + '/'.join('b' * 40)); os.rename('b', 'a/' + '/'.join('a' * 40) + '/c')"
    assert error_kind(box.run(code)) == "OSError"
    assert box.run("sorted(os.listdir('.'))").value == ["a", "b"]


def test_contents_count_to_the_sandbox_s_memory() -> None:
    with Sandbox(limits=Limits(memory_bytes=64 << 20)) as small:
        cell = small.run("with open('x', 'wb') as f:\n    while True: f.write(b'x' * 1_000_000)")
        assert cell.error is not None
        assert cell.error.kind == "OSError"
        assert "no more than the memory that is left" in cell.error.traceback
        cell = small.run("import os\nwritten = os.stat('x').st_size\nos.unlink('x')\nwritten")
        assert 20_000_000 < value_of(cell) < 128 << 20
        assert small.run("open('y', 'wb').write(b'y' * 30_000_000)").value == 30_000_000


def test_a_file_that_is_used_again_and_again_takes_no_more_memory() -> None:
    with Sandbox(limits=Limits(memory_bytes=64 << 20)) as small:
        code = "import os\nfor i in range(200):\n    open('x', 'wb').write(b'x' * 10_000_000)\n    if i % 2: os.unlink('x')\n'done'"
        assert small.run(code).value == "done"


# Odd arguments, straight at the system calls. Any Python error will do; the sandbox goes on.
ODD = {
    "every kind of opening": "import itertools, os\nflags = [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, getattr(os, 'O_DIRECTORY', 0), os.O_NONBLOCK, os.O_SYNC]\nfor name in ('x', '.', '/', '/tmp', 'no/x', 'x/', '..', '/usr/share/zoneinfo/UTC'):\n    for n in range(4):\n        for some in itertools.combinations(flags, n):\n            try: fd = os.open(name, sum(some))\n            except OSError: continue\n            for act in (lambda: os.read(fd, 10), lambda: os.write(fd, b'x'), lambda: os.ftruncate(fd, 3), lambda: os.lseek(fd, 1, 2), lambda: os.listdir(fd), lambda: os.fsync(fd)):\n                try: act()\n                except (OSError, TypeError): pass\n            os.close(fd)",
    "every descriptor": "import os\nfor fd in [*range(-3, 300), 2**31 - 1, -2**31]:\n    for act in (os.close, os.fsync, os.fdatasync, os.fstat, os.isatty, lambda f: os.read(f, 1), lambda f: os.pread(f, 1, 0), lambda f: os.ftruncate(f, 1), lambda f: os.lseek(f, 0, 0), lambda f: os.posix_fallocate(f, 0, 1), lambda f: os.posix_fadvise(f, 0, 1, 0)):\n        try: act(fd)\n        except (OSError, AttributeError, ValueError): pass",
    "offsets": "import os\nfd = os.open('x', os.O_RDWR | os.O_CREAT)\nodd = [0, 1, -1, 2**31 - 1, 2**31, 2**32, -2**31, 2**63 - 1, -2**63, 2**30, 2**30 + 1]\nfor n in odd:\n    for act in (lambda: os.lseek(fd, n, 0), lambda: os.lseek(fd, n, 1), lambda: os.lseek(fd, n, 2), lambda: os.lseek(fd, n, 77), lambda: os.write(fd, b'x'), lambda: os.read(fd, 5), lambda: os.pread(fd, 5, n), lambda: os.pwrite(fd, b'x', n), lambda: os.ftruncate(fd, n), lambda: os.posix_fallocate(fd, n, n), lambda: os.posix_fallocate(fd, 0, n)):\n        try: act()\n        except (OSError, OverflowError, AttributeError): pass\n    os.ftruncate(fd, 0)",
    "vectors": "import os\nfd = os.open('x', os.O_RDWR | os.O_CREAT)\nfor act in (lambda: os.writev(fd, [b'', b'ab', b'', b'c' * 40_000] * 50), lambda: os.lseek(fd, 0, 0), lambda: os.readv(fd, [bytearray(3), bytearray(0), bytearray(10**6)]), lambda: os.writev(fd, [])):\n    try: act()\n    except (OSError, AttributeError): pass",
    "moving about": "import os, random\nrandom.seed(5)\nnames = ['a', 'b', 'a/c', 'b/c', 'a/c/d', 'b/c/d', 'a/../b', './a', 'a/.', 'b/..', '/tmp', '/', 'a/', '']\nfor _ in range(20_000):\n    one, two = random.choice(names), random.choice(names)\n    act = random.choice((lambda: os.mkdir(one), lambda: os.rmdir(one), lambda: os.rename(one, two), lambda: os.unlink(one), lambda: open(one, 'w').close(), lambda: os.replace(one, two), lambda: os.listdir(one), lambda: os.stat(one)))\n    try: act()\n    except OSError: pass\nfor root, folders, files in os.walk('/tmp'): pass",
    "a descriptor of a folder that goes": "import os\nos.makedirs('a/b'); fd = os.open('a/b', os.O_RDONLY)\nos.rmdir('a/b'); os.rmdir('a')\nfor act in (lambda: os.listdir(fd), lambda: os.open('x', os.O_CREAT | os.O_RDWR, dir_fd=fd), lambda: os.mkdir('y', dir_fd=fd), lambda: os.stat('..', dir_fd=fd), lambda: os.rename('..', 'z', src_dir_fd=fd)):\n    try: act()\n    except (OSError, TypeError): pass\nos.close(fd)",
    "closing all": "import os\nos.closerange(0, 10_000)\nopen('/tmp/x', 'w').write('still')",
    "the times": "import os\nopen('x', 'w').close()\nfor t in (0, -1, 2**62, -2**62, 1e18, float('nan')):\n    for act in (lambda: os.utime('x', (t, t)), lambda: os.utime('x', ns=(int(t), int(t)))):\n        try: act()\n        except (OSError, OverflowError, ValueError): pass\n    os.stat('x')",
    "long paths": "import os\nfor n in (255, 256, 4095, 4096, 4097, 100_000):\n    for path in ('x' * n, '/'.join('x' * n), './' * n, '../' * n + 'tmp'):\n        for act in (os.stat, os.mkdir, os.unlink, os.listdir, lambda p: open(p, 'w').close()):\n            try: act(path)\n            except OSError: pass",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_arguments_do_no_harm(box: Sandbox, name: str) -> None:
    cell = box.run(ODD[name])
    assert cell.error is None, cell.error
    assert box.run("open('/tmp/after', 'w').write('fine'), open('/tmp/after').read()").value == [4, "fine"]
