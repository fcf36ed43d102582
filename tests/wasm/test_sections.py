"""The parser of modules, on small modules that wasmtime assembles: it finds what is there, and only that."""

import pytest
import wasmtime

from divebell_wasm.sections import BULK_MEMORY, FunctionType, Global, Import, MalformedModule, Module, parse

BULK_MEMORY_TEXT = {
    "memory.init": "(memory.init $data (i32.const 0) (i32.const 0) (i32.const 0))",
    "data.drop": "(data.drop $data)",
    "memory.copy": "(memory.copy (i32.const 0) (i32.const 1) (i32.const 2))",
    "memory.fill": "(memory.fill (i32.const 0) (i32.const 1) (i32.const 2))",
    "table.init": "(table.init $elements (i32.const 0) (i32.const 0) (i32.const 0))",
    "elem.drop": "(elem.drop $elements)",
    "table.copy": "(table.copy (i32.const 0) (i32.const 0) (i32.const 0))",
    "table.grow": "(drop (table.grow (ref.null func) (i32.const 1)))",
    "table.size": "(drop (table.size))",
    "table.fill": "(table.fill (i32.const 0) (ref.null func) (i32.const 1))",
}
LOOKALIKES = {
    "an i32 constant": "(drop (i32.const 0xafc))",
    "an i64 constant": "(drop (i64.const -1404))",
    "a double": "(drop (f64.const 0x1.afc0afc0afcp+10))",
    "a float": "(drop (f32.const 0x1.f815f8p+1))",
    "a vector": "(drop (v128.const i8x16 0xfc 10 0xfc 11 0xfc 8 0xfc 9 0xfc 10 0 0 0xfc 11 0xfc 10))",
    "a shuffle's neighbour": "(drop (i8x16.shuffle 16 10 0 0 0 0 0 0 0 0 0 0 0 0 0 11"
    " (v128.const i64x2 0x0afc0afc0afc0afc 0) (v128.const i64x2 0 0)))",
    "an address": "(drop (i32.load offset=1404 (i32.const 0)))",
    "a branch table": "(block (block (br_table 0 1 0 1 0 (i32.const 2))))",
    "a saturating conversion": "(drop (i32.trunc_sat_f32_s (f32.const 1)))",
}
SHELL = """(module
  (memory 1)
  (table $table 1 funcref)
  (data $data "\\fc\\0a\\00\\00")
  (elem $elements func $first)
  (func $first)
  (func (param i32) (local i64 v128) {})
)"""


def parse_text(text: str) -> Module:
    return parse(bytes(wasmtime.wat2wasm(text)))


@pytest.mark.parametrize("name", [name for name, _ in BULK_MEMORY.values()])
def test_every_bulk_memory_instruction_is_found(name: str) -> None:
    body = f"(drop (i32.const 0xafc)) {BULK_MEMORY_TEXT[name]} (drop (i64.const 5))"
    found = parse_text(SHELL.format(body)).bulk_memory
    assert [one.instruction for one in found] == [name]
    assert found[0].function_index == 1


def test_the_offset_of_a_bulk_memory_instruction_is_where_its_bytes_are() -> None:
    data = bytes(wasmtime.wat2wasm(SHELL.format(BULK_MEMORY_TEXT["memory.copy"])))
    (found,) = parse(data).bulk_memory
    assert data[found.offset_bytes :][:4] == b"\xfc\x0a\x00\x00"


@pytest.mark.parametrize("body", LOOKALIKES.values(), ids=LOOKALIKES.keys())
def test_bytes_that_look_like_bulk_memory_are_not_taken_for_it(body: str) -> None:
    assert parse_text(SHELL.format(body)).bulk_memory == ()


def test_imports_exports_and_globals_are_read() -> None:
    module = parse_text("""(module
      (import "outside" "function" (func $f (param i32 f64) (result i64)))
      (import "outside" "value" (global i32))
      (import "outside" "pages" (memory 1 2))
      (import "outside" "functions" (table 1 funcref))
      (global (mut i32) (i32.const 7))
      (global f64 (f64.const 1.5))
      (func $g)
      (export "g" (func $g))
    )""")
    assert module.imports[0] == Import("outside", "function", "function", FunctionType(("i32", "f64"), ("i64",)))
    assert [one.kind for one in module.imports] == ["function", "global", "memory", "table"]
    assert [(one.name, one.kind, one.index) for one in module.exports] == [("g", "function", 1)]
    assert module.globals == (Global("i32", True), Global("f64", False))


def test_every_vector_instruction_has_its_own_length() -> None:
    lanes = "(drop (i8x16.extract_lane_s 11 (v128.const i64x2 0 0)))"
    loads = "(drop (v128.load8_lane offset=1404 3 (i32.const 0) (v128.const i64x2 0 0)))"
    wide = "(drop (i64x2.extmul_high_i32x4_u (v128.const i64x2 0 0) (v128.load32_zero (i32.const 0))))"
    found = parse_text(SHELL.format(lanes + loads + wide + BULK_MEMORY_TEXT["memory.fill"])).bulk_memory
    assert [one.instruction for one in found] == ["memory.fill"]


@pytest.mark.parametrize("cut_bytes", [1, 5, 9])
def test_a_module_that_was_cut_short_is_refused(cut_bytes: int) -> None:
    data = bytes(wasmtime.wat2wasm(SHELL.format("(drop (i32.const 1))")))
    with pytest.raises(MalformedModule):
        parse(data[:-cut_bytes])


def test_bytes_that_are_no_module_are_refused() -> None:
    with pytest.raises(MalformedModule, match="magic number"):
        parse(b"\x7fELF")


def test_instructions_that_the_guest_must_not_contain_are_refused() -> None:
    with pytest.raises(MalformedModule, match="must not contain"):
        parse_text("(module (memory 1 1 shared) (func (atomic.fence)))")
