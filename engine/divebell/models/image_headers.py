"""How large an image says it is, read from the header of its file. Pure, and every loop has a bound.

Where a file states several sizes, the largest of each side counts: a hostile file states a small one first. Animations
are refused, because what a provider bills for them is not known. Nothing is decoded, so a size may still be a lie that
the provider finds out; a size read here is never smaller than what an honest decoder of these headers sees.
"""

from collections.abc import Callable, Iterator

MAX_CHUNKS = 100_000  # of a file; a GIF of 20 MiB has 82,000 blocks
MAX_FILL_BYTES = 256  # before a marker of JPEG
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those three are tables and a reserved marker
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_START_OF_SCAN = 0xDA


class UnreadableImage(ValueError):
    """The file is not what its type says, or its header is broken."""


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels. An animated PNG counts as its first picture, which every decoder knows."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[8:16] != b"\0\0\0\x0dIHDR" or len(data) < 24:
        raise UnreadableImage("no PNG header")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, of the largest frame that is declared before the first scan."""
    if data[:2] != b"\xff\xd8":
        raise UnreadableImage("no JPEG header")
    sizes: list[tuple[int, int]] = []
    at = 2
    for _ in range(MAX_CHUNKS):
        run = data[at : at + MAX_FILL_BYTES]
        at += max(len(run) - len(run.lstrip(b"\xff")) - 1, 0)  # the last of them begins the marker
        if data[at : at + 1] != b"\xff" or at + 4 > len(data):
            break
        marker = data[at + 1]
        if marker == _JPEG_START_OF_SCAN:
            return _largest(sizes)
        if marker in _JPEG_WITHOUT_LENGTH:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or (marker in _JPEG_FRAMES and (length < 8 or at + 9 > len(data))):
            break
        if marker in _JPEG_FRAMES:
            height, width = (int.from_bytes(data[at + n : at + n + 2], "big") for n in (5, 7))
            sizes.append((width, height))
        at += 2 + length
    raise UnreadableImage("no frame before the first scan")


def gif_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels: of the screen, or of the picture if that is larger."""
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 13:
        raise UnreadableImage("no GIF header")
    sizes = [(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))]
    at = 13 + _colour_table_bytes(data[10])
    for _ in range(MAX_CHUNKS):
        kind = data[at : at + 1]
        if kind == b"!":  # an extension: its label, then blocks
            at = _after_gif_blocks(data, at + 2)
        elif kind == b"," and at + 10 <= len(data):
            if len(sizes) > 1:
                raise UnreadableImage("it is animated: send one picture of it")
            left, top, width, height = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (1, 3, 5, 7))
            sizes.append((left + width, top + height))
            at = _after_gif_blocks(data, at + 10 + _colour_table_bytes(data[at + 9]) + 1)
        else:
            break
    if len(sizes) < 2:
        raise UnreadableImage("no picture in it")
    return _largest(sizes)


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels: of the canvas, or of the picture if that is larger."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise UnreadableImage("no WebP header")
    sizes: list[tuple[int, int]] = []
    for kind, body in _riff_chunks(data):
        if kind == b"VP8X" and len(body) >= 10:
            if body[0] & 0x02:
                raise UnreadableImage("it is animated: send one picture of it")
            sizes.append((1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")))
        elif kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
            packed = int.from_bytes(body[1:5], "little")
            sizes.append((1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)))
        elif kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
            sizes.append(tuple(int.from_bytes(body[n : n + 2], "little") & 0x3FFF for n in (6, 8)))  # type: ignore[arg-type]
    return _largest(sizes)


SIZES: dict[str, Callable[[bytes], tuple[int, int]]] = {
    "image/png": png_size,
    "image/jpeg": jpeg_size,
    "image/gif": gif_size,
    "image/webp": webp_size,
}


def _largest(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    if not sizes:
        raise UnreadableImage("no size in its header")
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _colour_table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_gif_blocks(data: bytes, at: int) -> int:
    """Where the chain of blocks ends: each begins with its length, and one of length 0 is the last."""
    for _ in range(MAX_CHUNKS):
        if at >= len(data) or not data[at]:
            return at + 1
        at += 1 + data[at]
    raise UnreadableImage("too many blocks in it")


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : at + 8 + min(length, 32)]
        at += 8 + length + (length & 1)
