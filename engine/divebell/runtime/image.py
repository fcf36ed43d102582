"""The image: the memory of a guest that has booted, kept so that every sandbox starts from it.

Booting CPython in the guest and importing what models use takes about 200 ms, once per process; mapping the result into
a new instance takes microseconds, and copy on write does the rest. Everything in an image is shared by the sandboxes
made from it, CPython's string hash secret included, which cannot change after boot.
"""

import ctypes
import os
import secrets
from dataclasses import dataclass, field

import msgpack

from divebell.errors import GuestError
from divebell.runtime import guest_package, native
from divebell.runtime.base import RANDOM_KEY_BYTES
from divebell.runtime.pages import Region
from divebell_bridge.door import wire

_BOOT_MEMORY_BYTES = 256 << 20
# What boot needs of the clock; a fixed time, so that two images from one key are byte for byte the same.
_BOOT_TIME_NANOSECONDS = 1_700_000_000 * 10**9
# The key of every seeded sandbox's image: seeded runs repeat, so their hash order must not depend on the process.
REPRODUCIBLE_KEY = b"divebell: an image that repeats."


@dataclass(frozen=True)
class GuestLayout:
    """Addresses in the guest that never move after boot; the fields of `divebell_layout` in wasm/ABI.md, in order."""

    abi_version: int
    mailbox: int
    mailbox_bytes: int
    random_key: int
    last_words: int
    last_words_bytes: int
    signal_tripped: int
    any_signal_tripped: int
    eval_breaker: int
    eval_breaker_bit: int

    @classmethod
    def read(cls, instance: native.NativeInstance, door: native.DoorImport) -> "GuestLayout":
        at = instance.call("divebell_layout", door) & 0xFFFFFFFF
        count = len(cls.__dataclass_fields__)
        if at + 4 * count > instance.memory_bytes:
            raise GuestError("the guest module reports a layout outside its memory", kind="BadModule")
        return cls(*(ctypes.c_uint32 * count).from_address(instance.address + at))


@dataclass(frozen=True)
class BootImage:
    """The memory of a booted guest, and the module and addresses that instances of it need."""

    module: native.NativeModule
    region: Region
    layout: GuestLayout
    stack_pointer: int
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    """Distinguishes it from every other image, including those of other processes."""

    @property
    def memory_bytes(self) -> int:
        return self.region.length

    def spawn(self, memory_limit_bytes: int) -> native.NativeInstance:
        """A new instance whose memory is the image's, and may grow to `memory_limit_bytes` in all."""
        instance = self.module.instantiate(memory_limit_bytes)
        instance.grow(self.memory_bytes)
        self.region.lay_private(instance.address)
        return instance


def boot(module: native.NativeModule, random_key: bytes | None = None) -> BootImage:
    """Boot a guest and keep its memory. `random_key` decides CPython's hash secret; by default it is random."""
    key = os.urandom(RANDOM_KEY_BYTES) if random_key is None else random_key
    instance = module.instantiate(_BOOT_MEMORY_BYTES)

    def door(_request: int, _length: int, response: int, capacity: int) -> int:
        time = wire.encode({"v": wire.VERSION, "ok": [_BOOT_TIME_NANOSECONDS, _BOOT_TIME_NANOSECONDS]})
        if response + capacity > instance.memory_bytes or len(time) > capacity:
            return -1
        ctypes.memmove(instance.address + response, time, len(time))
        return len(time)

    try:
        first_stack_pointer = instance.stack_pointer
        instance.call("_initialize", door)
        layout = GuestLayout.read(instance, door)
        abi_version = guest_package.manifest().abi_version
        if layout.abi_version != abi_version:
            raise GuestError(f"the guest module has ABI {layout.abi_version}, not {abi_version}", kind="BadModule")
        ctypes.memmove(instance.address + layout.random_key, key, RANDOM_KEY_BYTES)
        payload = msgpack.packb(guest_package.sources())
        at = instance.call("divebell_reserve", door, len(payload)) & 0xFFFFFFFF
        ctypes.memmove(instance.address + at, payload, len(payload))
        failed = instance.call("divebell_boot", door, at, len(payload))
        if failed & 0xFFFFFFFF:
            raise GuestError(f"the guest did not boot: {last_words(instance, layout)}", kind="BadModule")
        instance.call("divebell_reserve", door, 0)  # frees the payload's buffer
        layout = GuestLayout.read(instance, door)
        if instance.stack_pointer != first_stack_pointer:
            raise GuestError("the guest left its stack pointer moved after boot", kind="BadModule")
        region = _copy_memory(instance)
    except native.GuestTrap as trap:
        raise GuestError(f"the guest did not boot: {trap} {last_words(instance, layout)}", kind="BadModule") from None
    finally:
        instance.close()
    return BootImage(module, region, layout, first_stack_pointer)


def _copy_memory(instance: native.NativeInstance) -> Region:
    """Copy the memory, without its empty pages, into a sealed region."""
    length = instance.memory_bytes
    region = Region(length, "image")
    step = 65536
    empty = bytes(step)
    for offset in range(0, length, step):
        piece = ctypes.string_at(instance.address + offset, step)
        if piece != empty:
            region.write(offset, piece)
    region.seal()
    return region


def last_words(instance: native.NativeInstance, layout: GuestLayout) -> str:
    """The last text that the guest wrote to its standard error: CPython's fatal errors. Untrusted text, one line."""
    raw = ctypes.string_at(instance.address + layout.last_words, min(layout.last_words_bytes, 4096))
    return " ".join(raw.split(b"\0", 1)[0].decode("utf-8", "replace").split())[:500]
