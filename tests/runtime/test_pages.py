"""Pages: the ways to share, copy and take away memory must be indistinguishable from above."""

import ctypes
import mmap
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from divebell import Context, Engine, Limits, Sandbox
from divebell.runtime import dirty
from divebell.runtime.in_process import InProcessRuntime
from divebell.runtime.pages import Region, round_up

PAGE = mmap.PAGESIZE


def test_a_region_is_mapped_or_copied_as_asked(engine: Engine) -> None:
    copied = os.environ.get("DIVEBELL_COPY_PAGES") == "1"
    assert isinstance(engine.runtime, InProcessRuntime)
    assert engine.runtime.image(is_reproducible=False).region.is_mapped != copied
    context = Context.of("text")
    assert context.shared is not None
    assert context.shared.region.is_mapped != copied


def test_cells_contexts_and_answers(engine: Engine) -> None:
    for source in ("ascii " * 1000, "é" * 5000, "漢" * 5000, "🤿" * 5000, b"bytes" * 1000, ["a", {"b": 1}], ""):
        with Sandbox(source, engine=engine, llm=lambda prompt: prompt[::-1]) as box:
            assert box["context"] == source
            assert box.run("print('out'); x = llm_query('abc'); x").value == "cba"
            assert box["x"] == "cba"


def test_state_is_put_back_after_a_crash(engine: Engine) -> None:
    with Sandbox("text " * 1000, engine=engine) as box:
        for n in range(3):
            box.run(f"x = [{n}] * 100_000")
            assert box.run("x.clear(); import os; os.abort()").restored
            assert box.run("len(x), x[-1], context.count('text')").value == [100_000, n, 1000]


def test_snapshots_and_forks(engine: Engine) -> None:
    with Sandbox("text " * 1000, engine=engine) as box:
        box.run("import random; random.seed(1); x = random.randbytes(3_000_000); y = x[::-1]")
        snapshot = box.snapshot()
        box.run("x = None")
        with Sandbox.restore(snapshot, "text " * 1000, engine=engine) as restored, box.fork() as twin:
            assert restored.run("x[::-1] == y and context.count('text')").value == 1000
            assert twin.run("x is None and len(y)").value == 3_000_000
            twin.run("y = 0")
            assert box.run("len(y)").value == 3_000_000


@pytest.mark.slow
def test_a_runaway_is_interrupted_and_a_deaf_one_killed(engine: Engine) -> None:
    with Sandbox(engine=engine, limits=Limits(cell_seconds=0.3, grace_seconds=0.3)) as box:
        box.run("x = 1")
        for code, kind in (("while True: pass", "TimeoutError"), ("import itertools; sum(iter(int, 1))", "Killed")):
            cell = box.run(code)
            assert cell.error is not None
            assert cell.error.kind == kind
            assert box["x"] == 1


def test_a_write_into_the_context_does_not_reach_another_sandbox(engine: Engine) -> None:
    from tests.support.forgery import FORGE

    context = Context.of("precious " * 10_000)
    with Sandbox(context, engine=engine) as box, Sandbox(context, engine=engine) as neighbour:
        box.run(FORGE)
        cell = box.run("forge(id(context) + 20, 8)[0] = 0")
        assert cell.error is not None
        assert cell.error.kind == "Crash"
        assert neighbour.run("context.count('precious')").value == 10_000
        assert box.run("context.count('precious')").value == 10_000


def test_a_memory_hog_is_stopped(engine: Engine) -> None:
    with Sandbox("text", engine=engine, limits=Limits(memory_bytes=8 << 20)) as box:
        cell = box.run("x = []\nwhile True: x.append(bytes(100_000))")
        assert cell.error is not None
        assert cell.error.kind in ("MemoryError", "BrokenGuest")
        assert box.run("x = None; 1").value == 1


def test_deep_source_costs_the_cell_only(engine: Engine) -> None:
    with Sandbox(engine=engine) as box:
        assert box.run("[" * 100_000 + "]" * 100_000).error is not None
        assert box.run("x = []\nfor _ in range(200_000): x = [x]\nrepr(x)").error is not None
        assert box.run("1").value == 1


def test_a_running_cell_can_be_cancelled(engine: Engine) -> None:
    with Sandbox(engine=engine, limits=Limits(cell_seconds=3_600)) as box:
        box.run("x = 1")
        threading.Timer(0.3, box.cancel).start()
        assert box.run("x = 2\nwhile True: pass").restored
        assert box["x"] == 1


@pytest.mark.slow
def test_seeded_sandboxes_repeat_however_pages_are_shared(engine: Engine) -> None:
    draw = "import random, os, uuid, time\n[random.random(), os.urandom(4), str(uuid.uuid4()), list({'a', 'b', 'c'}), time.time()]"
    with Sandbox(seed=3, engine=engine) as box, Sandbox(seed=3, engine=engine) as same:
        assert box.run(draw).value == same.run(draw).value


@pytest.mark.slow
def test_copying_works_in_a_whole_process(alone: Callable[..., str]) -> None:
    script = (
        "from divebell import Sandbox, Context\nfrom divebell.runtime.pages import can_map\nassert not can_map()\n"
        "c = Context.of('é' * 100_000)\na, b = Sandbox(c), Sandbox(c)\na.run('x = 1')\n"
        "assert a.run('import os; os.abort()').restored\nprint(a.run('x, len(context)').value, b.run('len(context)').value)"
    )
    assert alone(script, DIVEBELL_COPY_PAGES="1").strip() == "[1, 100000] 100000"


@pytest.mark.slow
def test_epochs_can_be_asked_for_by_the_environment(alone: Callable[..., str]) -> None:
    script = (
        "from divebell import Sandbox, Limits, Engine\nassert Engine().runtime.epochs\n"
        "b = Sandbox(limits=Limits(cell_seconds=0.2, grace_seconds=0.2))\nprint(b.run('sum(iter(int, 1))').error.kind, b.run('1').value)"
    )
    assert alone(script, DIVEBELL_EPOCHS="1").split() == ["Killed", "1"]


def test_a_region_holds_what_was_written_and_is_then_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    for copy in ("", "1"):
        monkeypatch.setenv("DIVEBELL_COPY_PAGES", copy)
        region = Region(10_000, "test")
        region.write(0, b"start")
        region.write(9_997, b"end")
        region.seal()
        region.seal()
        assert region.read(0, 5) == b"start"
        assert region.read(9_997, 100) == b"end"
        assert region.read(5, 3) == b"\0\0\0"
        assert region.read(20_000, 5) == b""
        with pytest.raises(ValueError, match="sealed"):
            region.write(0, b"x")
        region.close()
        region.close()


def test_round_up() -> None:
    assert [round_up(n, 10) for n in (0, 1, 9, 10, 11)] == [0, 10, 10, 10, 20]


@pytest.fixture
def area() -> Iterator[tuple[int, int]]:
    """A private mapping of a sealed file, as an instance has it: its address and its length."""
    length = 20_000 * PAGE
    region = Region(length, "test")
    region.write(0, b"\x01" * 100 * PAGE)
    region.seal()
    reserve = mmap.mmap(-1, length)
    view = ctypes.c_char.from_buffer(reserve)
    region.lay_private(ctypes.addressof(view))
    yield ctypes.addressof(view), length
    del view


@pytest.mark.skipif(sys.platform != "linux", reason="pagemap is Linux's")
@pytest.mark.parametrize("how", ["nothing", "one", "runs", "every_second", "zeros", "only_reads"])
def test_both_ways_to_find_written_pages_agree(area: tuple[int, int], how: str) -> None:
    address, length = area
    rng = random.Random(1)
    count = length // PAGE
    written: set[int] = {
        "nothing": set(), "one": {7}, "every_second": set(range(0, count, 2)), "zeros": {3, 50, 5000}, "only_reads": set(),
        "runs": {page for start in rng.sample(range(count - 40), 50) for page in range(start, start + rng.randrange(1, 40))},
    }[how]  # fmt: skip
    for page in range(0, count, 3):
        ctypes.c_char.from_address(address + page * PAGE).value  # noqa: B018 - reads the page
    for page in written:
        ctypes.c_char.from_address(address + page * PAGE + 5).value = b"\0" if how == "zeros" else b"!"
    by_pagemap = dirty._by_pagemap(address, 0, length)
    assert {page for start, size in by_pagemap for page in range(start // PAGE, (start + size) // PAGE)} == written
    by_scan = dirty._by_scan(address, 0, length)
    if by_scan is None:
        pytest.skip("this kernel has no PAGEMAP_SCAN")
    assert by_scan == by_pagemap
    assert dirty._by_scan(address, 100 * PAGE, 200 * PAGE) == dirty._by_pagemap(address, 100 * PAGE, 200 * PAGE)


@pytest.mark.skipif(sys.platform != "linux", reason="pagemap is Linux's")
def test_a_kernel_without_the_scan_falls_back_to_pagemap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirty, "_by_scan", lambda *_: None)
    monkeypatch.setattr(dirty, "_scan_works", None)
    with Sandbox("text") as box:
        box.run("x = [1] * 100_000")
        assert box.run("import os; os.abort()").restored
        assert box.run("len(x), context").value == [100_000, "text"]


def test_runs_are_joined_where_they_touch() -> None:
    runs: list[tuple[int, int]] = []
    for offset, length in ((0, 10), (10, 5), (20, 5), (25, 1)):
        dirty.append_run(runs, offset, length)
    assert runs == [(0, 15), (20, 6)]


def test_a_snapshot_is_about_as_large_as_what_changed() -> None:
    with Sandbox() as box:
        box.run("1")
        small = box.snapshot().bytes
        box.run("x = bytes(range(250)) * 16_000")
        large = box.snapshot().bytes
    assert small < 4 << 20
    assert 4_000_000 <= large - small < 10_000_000
