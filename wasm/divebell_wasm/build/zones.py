"""Turns the tzdata wheel into one blob and the C table of the guest's only fixed files, /usr/share/zoneinfo/....

zoneinfo and dateutil look for a zone there before they look for a package, as on any Linux. Zones with the same rules
(links, in the time zone database) share their bytes.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from . import fetch
from .work import BuildError, Work

FOLDER = "usr/share/zoneinfo"
WHEEL_FOLDER = "tzdata/zoneinfo/"
MAGIC = b"TZif"
FEWEST_ZONES = 400

C_TEMPLATE = """\
#include "divebell.h"
#include "files.h"
static const uint8_t blob[] = {
#embed "zones.bin"
};
const struct constant_file divebell_constant_files[] = {
%s};
const uint32_t divebell_constant_file_count = sizeof divebell_constant_files / sizeof *divebell_constant_files;
"""


def make(work: Work, source: Mapping[str, str], pip: Path) -> None:
    """Write the blob and the table into `work.zones`."""
    blob, rows, places = bytearray(), [], dict[bytes, int]()
    for name, contents in _zones(fetch.tzdata(work, source, pip)):
        if contents not in places:
            places[contents] = len(blob)
            blob += contents
        rows.append(f'    {{"{FOLDER}/{name}", blob + {places[contents]}, {len(contents)}}},\n')
    if len(rows) < FEWEST_ZONES:
        raise BuildError(
            f"the tzdata wheel holds {len(rows)} time zones in {WHEEL_FOLDER}; it must have changed its form"
        )
    work.zones.mkdir(parents=True, exist_ok=True)
    (work.zones / "zones.bin").write_bytes(blob)
    (work.zones / "zones.c").write_text(C_TEMPLATE % "".join(rows))


def _zones(wheel: Path) -> list[tuple[str, bytes]]:
    """Each zone's name and its file, sorted by name."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name.startswith(WHEEL_FOLDER)}
    return sorted((name.removeprefix(WHEEL_FOLDER), one) for name, one in files.items() if one.startswith(MAGIC))
