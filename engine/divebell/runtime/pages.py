"""Memory pages: shared regions, and how they get into a guest's linear memory.

What is guaranteed. A `Region` is written once and then sealed: on Linux it is a memfd with F_SEAL_WRITE, and nobody,
this process included, can change its bytes. `lay_private` gives a guest its own copy-on-write view; `lay_read_only`
gives many guests the same physical pages, and a write into them is stopped by the MMU. What is not guaranteed: that a
mapped *file* keeps its bytes (whoever may write the file can change it; see context.py).

Where there is no memfd (macOS, Windows), or where DIVEBELL_COPY_PAGES=1 asks for it, the same calls copy instead of
mapping. Then a spawn costs the copy of the image (about 18 MB), and an attached context its own length.

Measured on Linux x86-64: mapping the image takes 6 us where copying it takes 7 ms; 1 GiB of context is mapped in 5 us.
"""

import ctypes
import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from divebell.runtime.dirty import append_run, written_runs

PAGE_BYTES = mmap.PAGESIZE
WASM_PAGE_BYTES = 65536  # the unit of a linear memory
_MAP_FIXED = 0x10
_MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0

_libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
if _libc is not None:
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
    ]  # fmt: skip
    _libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    _libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


_WholeMemory = ctypes.c_char * (1 << 32)  # what 32-bit offsets can reach; made once, since ctypes makes it slowly


def _memory(address: int) -> memoryview:
    return memoryview(_WholeMemory.from_address(address)).cast("B")


def copy_runs(address: int, runs: list[tuple[int, int]]) -> bytes:
    """The bytes of the (offset, length) runs from `address`, joined.

    One join of slices and one block, not a block and a ctypes call for each run: this runs before every cell (measured
    for 104 runs of 512 KiB in all: 22 us, where `string_at` took 44 and left the C library much to trim and to fault in
    again).
    """
    memory = _memory(address)
    return b"".join([memory[offset : offset + length] for offset, length in runs])


def lay_runs(address: int, runs: Iterable[tuple[int, int]], data: bytes) -> None:
    """Write back what `copy_runs` copied."""
    memory, source, at = _memory(address), memoryview(data), 0
    for offset, length in runs:
        memory[offset : offset + length] = source[at : at + length]
        at += length


def round_up(length: int, unit: int = PAGE_BYTES) -> int:
    return -(-length // unit) * unit


def can_map() -> bool:
    """Whether this machine can map regions into guests, rather than copy them."""
    return hasattr(os, "memfd_create") and os.environ.get("DIVEBELL_COPY_PAGES", "") not in ("1", "true", "yes")


def protect_nothing(address: int, length: int) -> None:
    """Make memory inaccessible: every later access faults. Only for the watchdog; POSIX only."""
    _check(_libc.mprotect(address, length, 0), "mprotect")


def can_protect() -> bool:
    return _libc is not None


def protect_read_only(address: int, length: int) -> None:
    """Stop every later write, where this machine can."""
    if can_protect():
        _check(_libc.mprotect(address, length, mmap.PROT_READ), "mprotect")


def zero_memory(address: int, length: int) -> None:
    """Set anonymous memory to zeros again; on Linux, by giving its pages back to the system."""
    if sys.platform == "linux":
        _check(_libc.madvise(address, length, mmap.MADV_DONTNEED), "madvise")
    else:
        ctypes.memset(address, 0, length)


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


class Region:
    """Bytes that many guests share. Write with `write`, then `seal`; after that it can only be mapped and read.

    The memory is a file descriptor where pages can be mapped, and an anonymous mapping where they are copied.
    """

    def __init__(self, length: int, name: str, *, file: int | None = None) -> None:
        """file: the descriptor of an open file that has the bytes already. The region takes it over."""
        self.length = length
        self._file = file
        self._buffer: mmap.mmap | None = None
        self._sealed = file is not None
        self._runs: list[tuple[int, bytes]] | None = None
        if file is None and can_map():
            self._file = os.memfd_create(f"divebell-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self._file, max(length, 1))
        elif file is None:
            self._buffer = mmap.mmap(-1, max(length, 1))

    @classmethod
    def of_file(cls, file: int, length: int) -> "Region":
        """A region whose pages are those of an open file. It takes the descriptor over. The file may still change:
        see context/files.py."""
        return cls(length, "file", file=file)

    @property
    def is_mapped(self) -> bool:
        return self._file is not None

    def write(self, offset: int, data: "bytes | memoryview") -> None:
        if self._sealed:
            raise ValueError("the region is sealed")
        if self._file is not None:
            view = memoryview(data)
            while view:
                written_bytes = os.pwrite(self._file, view[: 1 << 30], offset)
                view, offset = view[written_bytes:], offset + written_bytes
        else:
            assert self._buffer is not None
            self._buffer[offset : offset + len(data)] = data

    def seal(self) -> None:
        """From now on, no byte of it changes."""
        if self._file is not None and not self._sealed:
            import fcntl

            fcntl.fcntl(
                self._file,
                fcntl.F_ADD_SEALS,
                fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL,
            )
        self._sealed = True

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.length - offset))
        if self._file is not None:
            parts = []
            while length:
                part = os.pread(self._file, min(length, 1 << 30), offset)
                if not part:
                    break
                parts.append(part)
                offset, length = offset + len(part), length - len(part)
            return b"".join(parts)
        assert self._buffer is not None
        return self._buffer[offset : offset + length]

    def lay_private(self, address: int) -> None:
        """Make [address, address + length) a private, writable view: copy on write, or a copy."""
        if self._file is not None:
            self._map(address, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_NORESERVE)
            return
        for offset, data in self._used_runs():
            ctypes.memmove(address + offset, data, len(data))

    def lay_read_only(self, address: int, start: int = 0, length: int | None = None) -> None:
        """Make [address, address + length) a shared, read-only view of the region from `start` (a page boundary) on, or
        a copy that is then made read-only. By default of all of it."""
        length = self.length - start if length is None else length
        if self._file is not None:
            self._map(address, mmap.PROT_READ, mmap.MAP_SHARED, start, length)
            return
        assert self._buffer is not None
        step = 64 << 20
        for offset in range(0, length, step):
            data = self._buffer[start + offset : start + min(offset + step, length)]
            ctypes.memmove(address + offset, data, len(data))
        protect_read_only(address, round_up(length))

    def _map(self, address: int, protection: int, flags: int, start: int = 0, length: int | None = None) -> None:
        size = round_up(max(self.length if length is None else length, 1))
        mapped_at = _libc.mmap(address, size, protection, flags | _MAP_FIXED, self._file, start)
        if mapped_at != address:
            raise OSError(ctypes.get_errno(), f"mmap: {os.strerror(ctypes.get_errno())}")

    def _used_runs(self) -> Iterator[tuple[int, bytes]]:
        """The parts that are not all zero, in chunks of 64 KiB; memory that they are copied into is zero already."""
        assert self._buffer is not None
        if self._runs is None:
            chunk = 65536
            zero = bytes(chunk)
            self._runs = [
                (offset, data)
                for offset in range(0, self.length, chunk)
                if (data := self._buffer[offset : offset + chunk]) != zero[: len(data)]
            ]
        yield from self._runs

    def changed_runs(self, address: int, start: int, end: int) -> list[tuple[int, int]]:
        """Where [address + start, address + end) no longer holds what `lay_private(address)` put there.

        Returns (offset, length) pairs in order. Beyond the region's own end: where it holds anything at all.
        """
        if self._file is not None:
            return written_runs(address, start, end)
        return self._compared_runs(address, start, end)

    def _compared_runs(self, address: int, start: int, end: int) -> list[tuple[int, int]]:
        assert self._buffer is not None
        runs: list[tuple[int, int]] = []
        for offset in range(start, end, PAGE_BYTES):
            before = self._buffer[offset : offset + PAGE_BYTES] if offset < self.length else b""
            if ctypes.string_at(address + offset, PAGE_BYTES) != before.ljust(PAGE_BYTES, b"\0"):
                append_run(runs, offset, PAGE_BYTES)
        return runs

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None

    def __del__(self) -> None:
        self.close()
