"""Images in messages: what is sent of them, and at most how many input tokens one is billed as.

The bound follows the rules that OpenAI publishes (https://developers.openai.com/api/docs/guides/images-vision,
"Calculating costs", as of autumn 2026), always by the dearest reading:

- Some models cut an image into patches of 32 by 32 pixels, after shrinking it to a budget, and multiply their number by
  up to 2.46. The budget for detail "high" is 1,536 or 2,500 patches; for some models the guide only says that it is
  finite, so the largest that it names anywhere counts: 10,000. For detail "low" the image is at most 512 by 512.
- Others bill a base, and with detail "high" also each tile of 512 by 512 of the image when scaled to a short side of
  768 and a long one of at most 2,048: so at most 8. The dearest of them is gpt-4o-mini: 2,833 and 5,667 a tile. The
  others: at most 85 and 170.

The detail is always sent: where it is left out, newer models take the image as it is, without any bound. Guaranteed: an
upper bound under these rules. Not guaranteed: other providers' rules.
"""

import re
from base64 import b64encode
from collections.abc import Mapping

from divebell.errors import RequestError
from divebell.models.image_headers import SIZES, UnreadableImage
from divebell.models.protocol import Detail, ImagePart
from divebell_bridge.door.bounds import IMAGE_KINDS_IN_WORDS, MAX_IMAGE_BYTES

MAX_SIDE_PIXELS = 65_535

PATCH_PIXELS = 32
MAX_PATCHES = 10_000
MAX_LOW_PATCHES = 16 * 16
MULTIPLIER_HUNDREDTHS = 246
TILE_PIXELS = 512
SHORT_SIDE_PIXELS = 768
LONG_SIDE_PIXELS = 2_048
DEAREST_BASE_TOKENS, DEAREST_TILE_TOKENS = 2_833, 5_667
USUAL_BASE_TOKENS, USUAL_TILE_TOKENS = 85, 170
# Names of OpenAI's models that are known not to be billed as gpt-4o-mini is.
_USUAL = re.compile(r"(gpt-5|gpt-4\.1|gpt-4o(?!-mini)|o[134])(?![0-9])[a-z0-9.-]*")


def worst_case_image_tokens(image: ImagePart, model_name: str = "") -> int:
    """At most how many input tokens the image is billed as. Without the name of one of OpenAI's models, as by the
    dearest of them. RequestError where the image cannot be sent."""
    width, height = image_size(image)
    low = detail_of(image) == "low"
    patches = min(-(-width // PATCH_PIXELS) * -(-height // PATCH_PIXELS), MAX_PATCHES)
    by_patches = -(-(MAX_LOW_PATCHES if low else patches) * MULTIPLIER_HUNDREDTHS // 100)
    usual = _USUAL.fullmatch(model_name) is not None
    base, tile = (USUAL_BASE_TOKENS, USUAL_TILE_TOKENS) if usual else (DEAREST_BASE_TOKENS, DEAREST_TILE_TOKENS)
    return max(by_patches, base if low else base + tile * _tiles(width, height))


def image_size(image: ImagePart) -> tuple[int, int]:
    """Width and height in pixels, as the image's header states them. RequestError where it cannot be sent."""
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
    """How closely the model looks. RequestError where it is neither "high" nor "low"."""
    detail = image.get("detail", "high")
    if detail not in ("high", "low"):
        raise RequestError(f"an image's detail must be 'high' or 'low', not {str(detail)[:100]!r}")
    return detail


def data_url(image: ImagePart) -> str:
    """The image as a data: URL. RequestError where it cannot be sent."""
    image_size(image)
    return f"data:{image['media_type']};base64,{b64encode(image['data']).decode('ascii')}"


def _tiles(width: int, height: int) -> int:
    short, long = sorted((width, height))
    scaled = min(-(-long * SHORT_SIDE_PIXELS // short), LONG_SIDE_PIXELS)
    return -(-SHORT_SIDE_PIXELS // TILE_PIXELS) * -(-scaled // TILE_PIXELS)
