"""Images in messages: which of them can be sent, and in which form."""

from base64 import b64encode
from collections.abc import Mapping

from divebell.errors import RequestError
from divebell.models.image_headers import SIZES, UnreadableImage
from divebell.models.protocol import Detail, ImagePart
from divebell_bridge.door.bounds import IMAGE_KINDS_IN_WORDS, MAX_IMAGE_BYTES

MAX_SIDE_PIXELS = 65_535


def image_size(image: ImagePart) -> tuple[int, int]:
    """Width and height in pixels, as the image's header states them. RequestError if it cannot be sent."""
    if not isinstance(image, Mapping):
        raise RequestError(f"an image must be a dict with a media_type and data, not a {type(image).__name__}")
    kind, data = image.get("media_type"), image.get("data")
    if not isinstance(kind, str) or kind not in SIZES:
        raise RequestError(f"an image's media_type must be one of {IMAGE_KINDS_IN_WORDS}, not {str(kind)[:100]!r}")
    if not isinstance(data, bytes):
        raise RequestError(f"an image's data must be the bytes of its file, not a {type(data).__name__}")
    if len(data) > MAX_IMAGE_BYTES:
        raise RequestError(f"an image of {len(data):,} bytes is too large: at most {MAX_IMAGE_BYTES:,} can be sent")
    try:
        width, height = SIZES[kind](data)
    except UnreadableImage as error:
        reason = str(error)
    else:
        if 1 <= width <= MAX_SIDE_PIXELS and 1 <= height <= MAX_SIDE_PIXELS:
            return width, height
        reason = f"it states a size of {width:,} by {height:,} pixels"
    raise RequestError(f"the image cannot be sent as {kind}: {reason}")


def detail_of(image: ImagePart) -> Detail:
    """How closely the model looks. RequestError if it is neither "high" nor "low"."""
    detail = image.get("detail", "high")
    if detail not in ("high", "low"):
        raise RequestError(f"an image's detail must be 'high' or 'low', not {str(detail)[:100]!r}")
    return detail


def data_url(image: ImagePart) -> str:
    """The image as a data: URL. RequestError if it cannot be sent."""
    image_size(image)
    return f"data:{image['media_type']};base64,{b64encode(image['data']).decode('ascii')}"
