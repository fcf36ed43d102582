"""Images: bytes with a media type, as a dict that goes to a model as it is."""

from pathlib import Path

from divebell.context.files import opened
from divebell.errors import ContextError
from divebell.text import shown
from divebell_bridge.door.bounds import IMAGE_KINDS, MAX_IMAGE_BYTES, image_kind

_KIND_OF_SUFFIX = {suffix: kind for kind, (_, suffixes) in IMAGE_KINDS.items() for suffix in suffixes}


def media_type_of(path: Path) -> str | None:
    """The media type that the name says; None if it is no image's."""
    return _KIND_OF_SUFFIX.get(path.suffix.lower())


def read_image(path: Path) -> dict[str, object]:
    """`{"media_type": str, "data": bytes}`. Raises ContextError if the file does not begin as its name says, or has
    more bytes than can be sent to a model."""
    media_type = _KIND_OF_SUFFIX[path.suffix.lower()]
    with opened(path) as file:
        if file.size > MAX_IMAGE_BYTES:
            raise ContextError(
                f"{shown(path.name)} has {file.size:,} bytes, and an image that a model is to see may have "
                f"{MAX_IMAGE_BYTES:,}: make it smaller, or give its bytes"
            )
        data = b"".join(file.chunks())
    if image_kind(data) != media_type:
        raise ContextError(f"{shown(path.name)} is not what its name says ({media_type}): rename it, or give its bytes")
    return {"media_type": media_type, "data": data}
