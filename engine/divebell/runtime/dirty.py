"""Which pages of a private mapping were written to, as the kernel knows it. Linux only.

A page of a MAP_PRIVATE mapping stops being the file's when it is first written, and the kernel remembers that. Two ways
to ask: the PAGEMAP_SCAN ioctl (Linux 6.7), which walks only what is there and returns ranges, and the bits of
/proc/self/pagemap (61: the page is a file's; 62: swapped; 63: present), which every kernel has. Neither needs a
privilege for the process's own pages.
"""

import array
import ctypes
import mmap
import operator
import os

_PAGE_BYTES = mmap.PAGESIZE
_PAGE_IS_FILE, _PAGE_IS_PRESENT, _PAGE_IS_SWAPPED, _PAGE_IS_ZERO = 1 << 2, 1 << 3, 1 << 4, 1 << 5
_PAGEMAP_SCAN = 0xC0606610  # _IOWR('f', 16, struct pm_scan_arg)
_REGION_WORDS = 3
_MAX_REGIONS = 512  # per call; longer answers are fetched in turns


class _ScanArguments(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "size", "flags", "start", "end", "walk_end", "vec", "vec_len", "max_pages",
            "category_inverted", "category_mask", "category_anyof_mask", "return_mask",
        )
    ]  # fmt: skip


_pagemap: int | None = None
_scan_works: bool | None = None
_libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None


def _pagemap_file() -> int:
    """Opened once. After a fork it would show the parent's pages, so a child opens its own."""
    global _pagemap
    if _pagemap is None:
        _pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    return _pagemap


def _forget() -> None:
    global _pagemap
    if _pagemap is not None:
        os.close(_pagemap)
        _pagemap = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def scan_works() -> bool | None:
    """Whether the kernel has PAGEMAP_SCAN; None before the first try."""
    return _scan_works


def written_runs(address: int, start: int, end: int) -> list[tuple[int, int]]:
    """The (offset, length) runs of pages in [address + start, address + end) that are the process's own.

    In order; two runs may touch.
    """
    global _scan_works
    if _scan_works is not False:
        runs = _by_scan(address, start, end)
        if runs is not None:
            _scan_works = True
            return runs
        _scan_works = False
    return _by_pagemap(address, start, end)


def _by_scan(address: int, start: int, end: int) -> list[tuple[int, int]] | None:
    assert _libc is not None
    regions = array.array("Q", bytes(_REGION_WORDS * 8 * _MAX_REGIONS))  # start, end, categories; start, end, ...
    regions_at, _ = regions.buffer_info()
    unwanted = _PAGE_IS_FILE | _PAGE_IS_ZERO
    there = _PAGE_IS_PRESENT | _PAGE_IS_SWAPPED
    runs: list[tuple[int, int]] = []
    first, last = address + start, address + end
    while first < last:
        arguments = _ScanArguments(
            ctypes.sizeof(_ScanArguments), 0, first, last, 0, regions_at, _MAX_REGIONS, 0,
            unwanted, unwanted, there, there,
        )  # fmt: skip
        count = _libc.ioctl(_pagemap_file(), ctypes.c_ulong(_PAGEMAP_SCAN), ctypes.byref(arguments))
        if count < 0:
            return None
        # By slices of the array, not region by region: this runs before every cell (measured for 104 regions: 25 us
        # in all, where reading ctypes structures took 41; 12 of each are the kernel's).
        words = _REGION_WORDS * count
        starts, ends = regions[0:words:_REGION_WORDS], regions[1:words:_REGION_WORDS]
        runs += zip(map((-address).__add__, starts), map(operator.sub, ends, starts), strict=True)
        if count < _MAX_REGIONS:
            break
        first = arguments.walk_end
    return runs


def _by_pagemap(address: int, start: int, end: int) -> list[tuple[int, int]]:
    entries = array.array("Q")
    entries.frombytes(os.pread(_pagemap_file(), (end - start) // _PAGE_BYTES * 8, (address + start) // _PAGE_BYTES * 8))
    runs: list[tuple[int, int]] = []
    for i, entry in enumerate(entries):
        if entry >> 62 and not entry >> 61 & 1:
            append_run(runs, start + i * _PAGE_BYTES, _PAGE_BYTES)
    return runs


def append_run(runs: list[tuple[int, int]], offset: int, length: int) -> None:
    """Add a run, joined to the last one where they touch."""
    if runs and runs[-1][0] + runs[-1][1] == offset:
        runs[-1] = (runs[-1][0], runs[-1][1] + length)
    else:
        runs.append((offset, length))
