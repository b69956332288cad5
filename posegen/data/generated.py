"""Mark generated pictures as generated, in the metadata of each format and in XMP as the IPTC specifies.

The field that search engines and platforms read is the digital source type of IPTC's photo metadata standard 2023.1
(https://iptc.org/standards/photo-metadata/). It is a label, not a watermark, and can be removed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import DataError
from ..files import written_whole
from ..version import __version__

SOFTWARE = f"posegen {__version__}"
COMMENT = "A generated picture, no photograph: posegen moved a source into another pose."
COMMENT_OF_CLIP = "A generated clip, no recording: posegen moved a source into other poses."
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype"
SOURCE_TYPE = f"{TERMS}/trainedAlgorithmicMedia"


@dataclass(frozen=True)
class Mark:
    """Description of a picture or clip in its metadata.

    Args:
        source_type: address of IPTC's digital source type.
        comment: sentence about a picture.
        comment_of_clip: sentence about a clip.
    """

    source_type: str
    comment: str
    comment_of_clip: str


GENERATED = Mark(SOURCE_TYPE, COMMENT, COMMENT_OF_CLIP)
"""Mark of what a model generated."""
COMPOSITE = Mark(
    f"{TERMS}/compositeWithTrainedAlgorithmicMedia",
    "A composite, no photograph: posegen moved a source into another pose, and put it into a picture.",
    "A composite, no recording: posegen moved a source into other poses, and put it into pictures.",
)
"""Mark of what a model generated in, or beside, pixels of a photograph or another picture."""

XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmp:CreatorTool="{SOFTWARE}"
 Iptc4xmpExt:DigitalSourceType="%s"/>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Endings of pictures that can say what they are, and Pillow's names of their formats."""

_DESCRIPTION, _SOFTWARE = 0x010E, 0x0131  # of EXIF: ImageDescription, Software
_XMP_OF_MP4 = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")  # XMP Specification, part 3: MPEG-4


def write_generated(
    path: str | Path, picture: np.ndarray, quality: int = 95, to_disk: bool = True, mark: Mark = GENERATED
) -> None:
    """Write a picture that is marked as generated: in XMP, and in PNG's text or the EXIF of JPEG and WebP.

    Args:
        path: with an ending of :data:`FORMATS`; parent folders are made, and the file appears whole.
        picture: what was generated, uint8 H W 3, RGB, or H W 4, RGBA, for PNG and WebP.
        quality: of JPEG and WebP, 1 to 100.
        to_disk: as of :func:`~posegen.files.written_whole`; False: for many that can be made again.

        mark: what the metadata say.

    Raises:
        DataError: another ending.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(path, f"cannot say of a picture of type {path.suffix!r} that it is generated", _ENDINGS)
    with written_whole(path, to_disk) as temporary:
        Image.fromarray(picture).save(temporary, format=kind, quality=quality, **marks(kind, mark))


_ENDINGS = f"Its name must end in {', '.join(FORMATS)}."


def marks(kind: str, mark: Mark = GENERATED) -> dict[str, Any]:
    """Return the arguments of Pillow's ``Image.save`` that mark a picture as generated (format PNG, JPEG or WEBP)."""
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", SOFTWARE)
        text.add_text("Comment", mark.comment)
        text.add_itxt("XML:com.adobe.xmp", XMP % mark.source_type)
        return {"pnginfo": text}
    exif = Image.Exif()
    exif[_SOFTWARE], exif[_DESCRIPTION] = SOFTWARE, mark.comment
    return {"exif": exif, "xmp": (XMP % mark.source_type).encode()}


def mark_mp4(path: Path, mark: Mark = GENERATED) -> None:
    """Mark a finished MP4 file as generated: append a box with XMP."""
    xmp = (XMP % mark.source_type).encode()
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(_XMP_OF_MP4) + len(xmp), b"uuid") + _XMP_OF_MP4 + xmp)
