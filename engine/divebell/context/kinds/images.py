"""Images: bytes with a media type, as a dict that code can pass on to a model unchanged."""

from pathlib import Path
from typing import ClassVar

from divebell.context.files import open_file
from divebell.context.kinds.kind import FileFormat, Loaded
from divebell.errors import ContextError
from divebell.text import quote
from divebell_bridge.door.bounds import IMAGE_KINDS, MAX_IMAGE_BYTES, image_kind

_KIND_OF_SUFFIX = {suffix: kind for kind, (_, suffixes) in IMAGE_KINDS.items() for suffix in suffixes}


class ImageFile(FileFormat):
    """An image file as `{"media_type": str, "data": bytes}`.

    ContextError if the file does not begin as its name says, or has more bytes than can be sent to a model.
    """

    suffixes: ClassVar = frozenset(_KIND_OF_SUFFIX)

    def load(self, path: Path) -> Loaded:
        media_type = _KIND_OF_SUFFIX[path.suffix.lower()]
        name = quote(path.name)
        with open_file(path) as file:
            if file.size > MAX_IMAGE_BYTES:
                raise ContextError(
                    f"{name} has {file.size:,} bytes, and an image that a model is to see may have "
                    f"{MAX_IMAGE_BYTES:,}: make it smaller, or give its bytes"
                )
            data = b"".join(file.chunks())
        if image_kind(data) != media_type:
            raise ContextError(f"{name} is not what its name says ({media_type}): rename it, or give its bytes")
        return Loaded({"media_type": media_type, "data": data})
