"""At most how many input tokens an image is billed as, where a model does not say so itself (traits.py).

The bound follows the rules that OpenAI publishes (https://developers.openai.com/api/docs/guides/images-vision,
"Calculating costs", as of autumn 2026), always by the dearest reading:

- Some models cut an image into patches of 32 by 32 pixels, after shrinking it to a budget, and multiply their number by
  up to 2.46. The budget for detail "high" is 1,536 or 2,500 patches; for some models the guide only says that it is
  finite, so the largest that it names anywhere counts: 10,000. For detail "low" the image is at most 512 by 512.
- Others bill a base, and with detail "high" also each tile of 512 by 512 of the image when scaled to a short side of
  768 and a long one of at most 2,048: so at most 8. The dearest of them is gpt-4o-mini: 2,833 and 5,667 a tile. The
  others: at most 85 and 170.

Adapters always send the detail: without it, newer models take the image as it is, and nothing bounds its cost.
Guaranteed: an upper bound under these rules. Not guaranteed: other providers' rules.
"""

import re

from divebell.models.images import detail_of, image_size
from divebell.models.protocol import ImagePart

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
    dearest of them. RequestError if the image cannot be sent."""
    width, height = image_size(image)
    low = detail_of(image) == "low"
    patches = min(-(-width // PATCH_PIXELS) * -(-height // PATCH_PIXELS), MAX_PATCHES)
    by_patches = -(-(MAX_LOW_PATCHES if low else patches) * MULTIPLIER_HUNDREDTHS // 100)
    usual = _USUAL.fullmatch(model_name) is not None
    base, tile = (USUAL_BASE_TOKENS, USUAL_TILE_TOKENS) if usual else (DEAREST_BASE_TOKENS, DEAREST_TILE_TOKENS)
    return max(by_patches, base if low else base + tile * _tiles(width, height))


def _tiles(width: int, height: int) -> int:
    short, long = sorted((width, height))
    scaled = min(-(-long * SHORT_SIDE_PIXELS // short), LONG_SIDE_PIXELS)
    return -(-SHORT_SIDE_PIXELS // TILE_PIXELS) * -(-scaled // TILE_PIXELS)
