"""wasmtime, used through its C API where its Python classes are too slow, too leaky or too narrow.

This is the only file that touches wasmtime's private bindings. Why it does:

- wasmtime-py keeps the last exception of a callback in one global shared by all threads, so another tenant's thread can
  be handed it. The callback here is our own and lets nothing out: no exception ever leaves it.
- the unchecked calls skip the conversion of every argument (measured: a call 4 us instead of 10, a callback 5 instead
  of 11).
- `async_stack_size` has no Python setter, and without it a wasm stack over 2 MiB aborts the process.
"""

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import wasmtime
from wasmtime import _bindings
from wasmtime import _ffi as ffi

from divebell.runtime.ctrl_c import without_ctrl_c
from divebell.runtime.pages import WASM_PAGE_BYTES

MEMORY_RESERVATION_BYTES = 1 << 32
WASM_STACK_BYTES = 4 << 20
# Address space after the reservation that never becomes memory. The guest's loads have 32-bit offsets.
_GUARD_BYTES = 32 << 20
EPOCH_NEVER = 1 << 60

# What the guest's one import calls: request address, request length, response address, response capacity; returns a
# length (wasm/ABI.md).
DoorImport = Callable[[int, int, int, int], int]


class GuestTrap(Exception):
    """The guest's code trapped. Its instance must not be used again. `code` is wasmtime's name of the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def make_engine(*, epochs: bool) -> wasmtime.Engine:
    """A wasmtime engine in which every feature that the guest does not use is off."""
    config = wasmtime.Config()
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), 4 * WASM_STACK_BYTES)
    config.max_wasm_stack = WASM_STACK_BYTES
    config.memory_reservation = MEMORY_RESERVATION_BYTES
    config.memory_guard_size = _GUARD_BYTES
    config.memory_may_move = False
    config.epoch_interruption = epochs
    config.cranelift_opt_level = "speed"
    config.parallel_compilation = True
    config.wasm_bulk_memory = False
    config.wasm_threads = False
    config.wasm_tail_call = False
    config.wasm_multi_memory = False
    config.wasm_memory64 = False
    config.wasm_relaxed_simd = False
    config.wasm_exceptions = False
    config.wasm_component_model = False
    config.wasm_function_references = False
    config.wasm_gc = False
    return wasmtime.Engine(config)


_current = threading.local()  # .door: the function of the instance that runs on this thread; .raised: what came of it


@ffi.wasmtime_func_unchecked_callback_t  # type: ignore[untyped-decorator]
def _call_door(_data: int, _caller: Any, values: Any, _count: int) -> int:
    try:
        length = _current.door(
            values[0].i32 & 0xFFFFFFFF,
            values[1].i32 & 0xFFFFFFFF,
            values[2].i32 & 0xFFFFFFFF,
            values[3].i32 & 0xFFFFFFFF,
        )
    except BaseException as raised:  # Ctrl-C can come anywhere; it is raised where the guest was called from
        _current.raised = raised
        length = -1
    values[0].i64 = length & 0xFFFFFFFF
    return 0


_no_finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)()


class NativeModule:
    """One compiled guest, linked to the door, ready to be instantiated."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self.engine = engine
        self.module = module
        self.export_index = {export.name: i for i, export in enumerate(module.exports)}
        linker = wasmtime.Linker(engine)
        door_type = wasmtime.FuncType([wasmtime.ValType.i32()] * 4, [wasmtime.ValType.i32()])
        error = ffi.wasmtime_linker_define_func_unchecked(
            linker.ptr(), _text("divebell"), 8, _text("call"), 4, door_type.ptr(), _call_door, None, _no_finalizer
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)
        self._linked = linker.instantiate_pre(module)

    def instantiate(self, memory_limit_bytes: int) -> "NativeInstance":
        """A new instance with wasmtime's own, memory, which this file does not initialise."""
        with without_ctrl_c():
            return NativeInstance(self, memory_limit_bytes)

    def raw_instance(self, store: wasmtime.Store) -> Any:
        return self._linked.instantiate(store)._instance


def _text(name: str) -> Any:
    return ctypes.create_string_buffer(name.encode())


_install_epoch_callback = _bindings._wasmtime_store_epoch_deadline_callback
_EpochCallback = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(ctypes.c_uint8)
)
_FIVE_VALUES = ffi.wasmtime_val_raw_t * 5


class NativeInstance:
    """One instance and its store. Not thread-safe: one thread at a time, which the owner sees to."""

    def __init__(self, module: NativeModule, memory_limit_bytes: int) -> None:
        self._module = module
        self._store = wasmtime.Store(module.engine)
        self.set_memory_limit(memory_limit_bytes)
        self._context = self._store._context()
        self.set_epoch_deadline(EPOCH_NEVER)
        self._instance = module.raw_instance(self._store)
        self._functions: dict[str, Any] = {}
        self._memory = self._export("memory").of.memory
        self.address: int = ctypes.addressof(
            ffi.wasmtime_memory_data(self._context, ctypes.byref(self._memory)).contents
        )
        self._values = _FIVE_VALUES()

    def _export(self, name: str) -> Any:
        item = ffi.wasmtime_extern_t()
        name_pointer = ctypes.POINTER(ctypes.c_char)()
        name_length = ctypes.c_size_t(0)
        is_there = ffi.wasmtime_instance_export_nth(
            self._context,
            ctypes.byref(self._instance),
            self._module.export_index[name],
            ctypes.byref(name_pointer),
            ctypes.byref(name_length),
            ctypes.byref(item),
        )
        if not is_there:
            raise KeyError(name)
        return item

    def set_memory_limit(self, limit_bytes: int) -> None:
        self._store.set_limits(memory_size=limit_bytes, instances=1, memories=1, tables=4)

    def set_epoch_deadline(self, ticks: int) -> None:
        ffi.wasmtime_context_set_epoch_deadline(self._context, ticks)

    def watch_epochs(self, must_stop: Callable[[], bool]) -> None:
        """Ask `must_stop` at each tick of the epoch while the guest runs, and end the guest when it returns True."""

        def at_tick(_context: int, _data: int, more_ticks: Any, kind: Any) -> int | None:
            more_ticks[0], kind[0] = 1, 0
            try:
                if not must_stop():
                    return None
            except BaseException as raised:  # Ctrl-C; raised again where the guest was called from
                _current.raised = raised
            error = ffi.wasmtime_error_new(_text("the watchdog ended the cell"))
            return ctypes.cast(error, ctypes.c_void_p).value

        self._at_tick = _EpochCallback(at_tick)
        install = ffi.wasmtime_store_epoch_deadline_callback
        callback_type, finalizer_type = _install_epoch_callback.argtypes[1], _install_epoch_callback.argtypes[3]
        install(self._store.ptr(), ctypes.cast(self._at_tick, callback_type), None, ctypes.cast(None, finalizer_type))  # type: ignore[arg-type, type-var]
        self.set_epoch_deadline(1)

    @property
    def memory_bytes(self) -> int:
        """The linear memory's present size."""
        return int(ffi.wasmtime_memory_data_size(self._context, ctypes.byref(self._memory)))

    def grow(self, to_bytes: int) -> None:
        """Grow the memory to at least `to_bytes`. MemoryError if the limit does not allow it."""
        missing_pages = -(-(to_bytes - self.memory_bytes) // WASM_PAGE_BYTES)
        if missing_pages <= 0:
            return
        before = ctypes.c_uint64(0)
        error = ffi.wasmtime_memory_grow(self._context, ctypes.byref(self._memory), missing_pages, ctypes.byref(before))
        if error:
            raise MemoryError(str(wasmtime.WasmtimeError._from_ptr(error)))

    @property
    def stack_pointer(self) -> int:
        value = ffi.wasmtime_val_t()
        ffi.wasmtime_global_get(self._context, ctypes.byref(self._stack_pointer_global()), ctypes.byref(value))
        return int(value.of.i32) & 0xFFFFFFFF

    @stack_pointer.setter
    def stack_pointer(self, pointer: int) -> None:
        value = ffi.wasmtime_val_t(kind=ffi.WASMTIME_I32.value)
        value.of.i32 = ctypes.c_int32(pointer).value
        error = ffi.wasmtime_global_set(self._context, ctypes.byref(self._stack_pointer_global()), ctypes.byref(value))
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    def _stack_pointer_global(self) -> Any:
        return self._export("__stack_pointer").of.global_

    def call(self, name: str, door: DoorImport, *arguments: int) -> int:
        """Call an exported function; `door` answers the guest's calls meanwhile. Raises GuestTrap."""
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._export(name).of.func
        values = self._values
        for i, argument in enumerate(arguments):
            values[i].i64 = argument
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        before = getattr(_current, "door", None)
        _current.door = door
        try:
            error = ffi.wasmtime_func_call_unchecked(
                self._context, ctypes.byref(function), values, len(values), ctypes.byref(trap)
            )
        finally:
            _current.door = before
        if getattr(_current, "raised", None) is not None:
            interruption, _current.raised = _current.raised, None
            raise interruption
        if trap:
            raised = wasmtime.Trap._from_ptr(trap)
            code = raised.trap_code
            raise GuestTrap(code.name if code is not None else "UNKNOWN", raised.message)
        if error:
            raise GuestTrap("ERROR", str(wasmtime.WasmtimeError._from_ptr(error)))
        return int(values[0].i64)

    def close(self) -> None:
        """Release the memory. The instance must not be running."""
        with without_ctrl_c():
            self._store.close()
