"""An audit of a WebAssembly module that depends on no engine: its imports, exports, globals, and every instruction.

Two promises about the guest are checked with it. Its import section holds one function. And its code holds no
bulk-memory instruction: wasmtime carries those out in host code, where a fault kills the process instead of the cell.

Guarantees: an instruction is found by decoding all those before it, so a constant that looks like one is not mistaken.
What is not decodable here (threads, garbage collection, exceptions, several memories) raises MalformedModule: fail
closed. It does not validate types; wasmtime does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("function", "table", "memory", "global")
VALUE_TYPES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref"}
BULK_MEMORY = {
    8: ("memory.init", 2),
    9: ("data.drop", 1),
    10: ("memory.copy", 2),
    11: ("memory.fill", 1),
    12: ("table.init", 2),
    13: ("elem.drop", 1),
    14: ("table.copy", 2),
    15: ("table.grow", 1),
    16: ("table.size", 1),
    17: ("table.fill", 1),
}
"""Sub-opcodes behind the prefix 0xFC: the instruction's name and how many indices follow it."""

MAGIC = b"\0asm\x01\0\0\0"
BR_TABLE, MISC_PREFIX, END = 0x0E, 0xFC, 0x0B
LEB_BYTES = 10

_LEB = rb"[\x80-\xff]{0,9}+[\x00-\x7f]"
_ADDRESS = rb"[\x00-\x3f]" + _LEB
_PLAIN_INSTRUCTIONS = re.compile(
    rb"(?>"
    rb"[\x00\x01\x05\x0b\x0f\x1a\x1b\x45-\xc4\xd1]"  # no immediate
    rb"|[\x0c\x0d\x10\x12\x20-\x26\x3f-\x42\xd0\xd2]" + _LEB  # an index or an integer
    + rb"|[\x11\x13]" + _LEB + _LEB  # indirect calls
    + rb"|[\x02-\x04](?![\x63\x64])" + _LEB  # blocks; a block of a typed reference is not decoded
    + rb"|[\x28-\x3e]" + _ADDRESS  # loads and stores
    + rb"|\x43.{4}|\x44.{8}"  # floating-point constants
    + rb"|\x1c\x01[\x6f\x70\x7b-\x7f]"  # select with a type
    + rb"|\xfc[\x00-\x07]"  # saturating conversions
    + rb"|\xfd(?:[\x00-\x0b\x5c\x5d]" + _ADDRESS
    + rb"|[\x0c\x0d].{16}|[\x15-\x22].|[\x54-\x5b]" + _ADDRESS
    + rb".|[\x0e-\x14\x23-\x53\x5e-\x7f]|[\x80-\xff]\x01|[\x80-\x93]\x02)"
    rb")*+",
    re.DOTALL,
)  # fmt: skip
"""A run of instructions whose length is known from their first bytes: decoded by `re`, a hundred times as fast."""

_CONSTANT_EXPRESSION = re.compile(rb"(?>[\x23\x41\x42\xd0\xd2]" + _LEB + rb"|\x43.{4}|\x44.{8})\x0b", re.DOTALL)


class MalformedModule(ValueError):
    """The bytes are not a WebAssembly module, or use something that the guest must not contain."""


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Value types by name, such as "i32"."""

    parameters: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Import:
    """`kind` is one of KINDS; `type` is there for functions."""

    module: str
    name: str
    kind: str
    type: FunctionType | None


@dataclass(frozen=True, slots=True)
class Export:
    """`kind` is one of KINDS; `index` counts the imports first."""

    name: str
    kind: str
    index: int


@dataclass(frozen=True, slots=True)
class Global:
    """A global that the module defines itself."""

    value_type: str
    mutable: bool


@dataclass(frozen=True, slots=True)
class BulkMemoryUse:
    """Where a bulk-memory instruction stands: an index that counts the imports first, and an offset into the file."""

    instruction: str
    function_index: int
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Module:
    """The parts of a module that say what it reaches."""

    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    globals: tuple[Global, ...]
    custom_sections: tuple[str, ...]
    bulk_memory: tuple[BulkMemoryUse, ...]


class _Cursor:
    """Reads the primitive encodings, and never past its end."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.data, self.position, self.end = data, start, end

    def byte(self) -> int:
        if self.position >= self.end:
            raise MalformedModule(f"cut short at byte {self.position}")
        self.position += 1
        return self.data[self.position - 1]

    def take(self, length_bytes: int) -> bytes:
        start = self.position
        self.position += length_bytes
        if self.position > self.end:
            raise MalformedModule(f"cut short at byte {start}")
        return self.data[start : self.position]

    def unsigned(self) -> int:
        value = 0
        for place in range(LEB_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise MalformedModule(f"an integer too long at byte {self.position}")

    def name(self) -> str:
        return self.take(self.unsigned()).decode("utf-8", "replace")

    def value_type(self) -> str:
        code = self.byte()
        if code not in VALUE_TYPES:
            raise MalformedModule(f"unknown value type {code:#x} at byte {self.position - 1}")
        return VALUE_TYPES[code]

    def limits(self) -> None:
        if self.byte() & 1:
            self.unsigned()
        self.unsigned()

    def kind(self) -> str:
        code = self.byte()
        if code >= len(KINDS):
            raise MalformedModule(f"unknown kind {code:#x} at byte {self.position - 1}")
        return KINDS[code]


def parse(data: bytes) -> Module:
    """Decode `data` whole. Raises MalformedModule on anything that is not understood."""
    if not data.startswith(MAGIC):
        raise MalformedModule("no WebAssembly module: the first eight bytes are not its magic number and version 1")
    types: list[FunctionType] = []
    imports: list[Import] = []
    exports: list[Export] = []
    globals_: list[Global] = []
    custom: list[str] = []
    bulk: list[BulkMemoryUse] = []
    for number, section in _sections(data):
        if number == 0:
            custom.append(section.name())
        elif number == 1:
            types += _types(section)
        elif number == 2:
            imports += _imports(section, types)
        elif number == 6:
            globals_ += _globals(section)
        elif number == 7:
            exports += [Export(section.name(), section.kind(), section.unsigned()) for _ in range(section.unsigned())]
        elif number == 10:
            bulk += _bulk_memory_uses(section, sum(one.kind == "function" for one in imports))
    return Module(tuple(imports), tuple(exports), tuple(globals_), tuple(custom), tuple(bulk))


def _sections(data: bytes) -> Iterator[tuple[int, _Cursor]]:
    outer = _Cursor(data, len(MAGIC), len(data))
    while outer.position < outer.end:
        number, length_bytes = outer.byte(), outer.unsigned()
        start = outer.position
        outer.take(length_bytes)
        yield number, _Cursor(data, start, outer.position)


def _types(section: _Cursor) -> Iterator[FunctionType]:
    for _ in range(section.unsigned()):
        if section.byte() != 0x60:
            raise MalformedModule(f"a type that is no function's at byte {section.position - 1}")
        parameters = tuple(section.value_type() for _ in range(section.unsigned()))
        yield FunctionType(parameters, tuple(section.value_type() for _ in range(section.unsigned())))


def _imports(section: _Cursor, types: list[FunctionType]) -> Iterator[Import]:
    for _ in range(section.unsigned()):
        module, name, kind = section.name(), section.name(), section.kind()
        function_type = None
        if kind == "function":
            index = section.unsigned()
            if index >= len(types):
                raise MalformedModule(f"import {module}.{name} has type {index}, of {len(types)}")
            function_type = types[index]
        elif kind == "global":
            section.take(2)
        else:
            if kind == "table":
                section.byte()
            section.limits()
        yield Import(module, name, kind, function_type)


def _globals(section: _Cursor) -> Iterator[Global]:
    for _ in range(section.unsigned()):
        value_type, mutable = section.value_type(), section.byte() == 1
        start_value = _CONSTANT_EXPRESSION.match(section.data, section.position, section.end)
        if start_value is None:
            raise MalformedModule(f"a global with an unusual start value at byte {section.position}")
        section.position = start_value.end()
        yield Global(value_type, mutable)


def _bulk_memory_uses(section: _Cursor, imported_functions: int) -> Iterator[BulkMemoryUse]:
    for number in range(section.unsigned()):
        length_bytes = section.unsigned()
        body = _Cursor(section.data, section.position, section.position + length_bytes)
        section.take(length_bytes)
        for _ in range(body.unsigned()):
            body.unsigned()
            body.value_type()
        for name, offset_bytes in _irregular_instructions(body):
            yield BulkMemoryUse(name, imported_functions + number, offset_bytes)
        if body.data[body.end - 1] != END:
            raise MalformedModule(f"function {imported_functions + number} does not end with `end`")


def _irregular_instructions(code: _Cursor) -> Iterator[tuple[str, int]]:
    """Decode to the cursor's end; yield the name and offset of each bulk-memory instruction."""
    while True:
        run = _PLAIN_INSTRUCTIONS.match(code.data, code.position, code.end)
        assert run is not None, "the pattern matches the empty run"
        code.position = run.end()
        if code.position == code.end:
            return
        start = code.position
        opcode = code.byte()
        if opcode == BR_TABLE:
            for _ in range(code.unsigned() + 1):
                code.unsigned()
            continue
        name, indices = BULK_MEMORY.get(code.unsigned(), ("", 0)) if opcode == MISC_PREFIX else ("", 0)
        if not name:
            raise MalformedModule(f"an instruction that the guest must not contain ({opcode:#x}) at byte {start}")
        for _ in range(indices):
            code.unsigned()
        yield name, start
