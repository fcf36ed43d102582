"""Images: bytes with a media type, as a dict that goes to a model as it is."""

from pathlib import Path

from divebell.context.escape import shown
from divebell.context.files import opened
from divebell.errors import ContextError

MAX_IMAGE_BYTES = 64 << 20

_MEDIA_TYPES = {
    ".png": ("image/png", b"\x89PNG\r\n\x1a\n"),
    ".jpg": ("image/jpeg", b"\xff\xd8\xff"),
    ".jpeg": ("image/jpeg", b"\xff\xd8\xff"),
    ".gif": ("image/gif", b"GIF8"),
    ".webp": ("image/webp", b"RIFF"),
}


def media_type_of(path: Path) -> str | None:
    """The media type that the name says; None if it is no image's."""
    found = _MEDIA_TYPES.get(path.suffix.lower())
    return None if found is None else found[0]


def read_image(path: Path) -> dict[str, object]:
    """`{"media_type": str, "data": bytes}`. Raises ContextError if the file does not begin as its name says, or is over
    64 MiB."""
    media_type, beginning = _MEDIA_TYPES[path.suffix.lower()]
    with opened(path) as file:
        if file.size > MAX_IMAGE_BYTES:
            raise ContextError(f"{shown(path.name)} has {file.size:,} bytes, and an image may have {MAX_IMAGE_BYTES:,}")
        data = b"".join(file.chunks())
    if not data.startswith(beginning):
        raise ContextError(f"{shown(path.name)} is not what its name says ({media_type}): rename it, or give its bytes")
    return {"media_type": media_type, "data": data}
