"""Small image files, made by hand: a header that states a size, and no more of a picture than a reader of headers sees."""

import struct
import zlib


def png(width: int, height: int) -> bytes:
    """A whole one, if it is small: black."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\0" * (1 + width)) * height if width * height <= 1 << 20 else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def jpeg(width: int, height: int, *before: bytes, frame: int = 0xC0) -> bytes:
    """before: segments that come first, for example another frame's."""
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    return b"\xff\xd8" + jpeg_segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + b"".join(before) + jpeg_frame(
        width, height, frame
    ) + scan + b"\x00" * 8 + b"\xff\xd9"  # fmt: skip


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    return jpeg_segment(marker, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00")


def gif(width: int, height: int, *pictures: tuple[int, int, int, int]) -> bytes:
    """pictures: left, top, width and height of each; one of the screen's size if none is given."""
    body = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0" * 6
    body += b"!\xfe\x05hello\0"
    for picture in pictures or [(0, 0, width, height)]:
        body += b"," + struct.pack("<HHHHB", *picture, 0) + b"\x02\x02\x4c\x01\0"
    return body + b";"


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def vp8(width: int, height: int) -> bytes:
    return webp_chunk(b"VP8 ", b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"\0" * 5)


def vp8l(width: int, height: int) -> bytes:
    return webp_chunk(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 5)


def vp8x(width: int, height: int, *, animated: bool = False) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp_chunk(b"VP8X", bytes([2 if animated else 0, 0, 0, 0]) + sides)
