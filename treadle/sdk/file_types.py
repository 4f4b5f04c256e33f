"""What a file really is, told from its first bytes: a name and a Content-Type are claims.

Signatures follow the WHATWG MIME Sniffing standard and, for archives, documents and programs, the formats' own
specifications.
"""

import mimetypes
from dataclasses import dataclass
from pathlib import PurePath

_OFFICE = (
    "docx",
    "xlsx",
    "pptx",
    "xlsm",
    "odt",
    "ods",
    "odp",
    "epub",
    "jar",
    "apk",
    "whl",
    "kmz",
    "docm",
    "pptm",
    "xlsb",
)
_TYPES = mimetypes.MimeTypes()
"""The table that comes with Python, without the host's: the same answer on every machine."""
for _mime, _suffix in (
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", ".pptx"),
    ("application/vnd.oasis.opendocument.spreadsheet", ".ods"),
    ("application/vnd.oasis.opendocument.text", ".odt"),
    ("application/epub+zip", ".epub"),
    ("application/yaml", ".yaml"),
    ("audio/flac", ".flac"),
    ("audio/mp4", ".m4a"),
    ("audio/ogg", ".ogg"),
    ("image/webp", ".webp"),
    ("text/markdown", ".md"),
    ("video/x-matroska", ".mkv"),
):
    _TYPES.add_type(_mime, _suffix)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of content. ``suffixes`` are the names it may bear; the first is the one it gets when it bears another."""

    suffixes: tuple[str, ...]
    text: bool = False


_PREFIXES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", Kind(("png", "apng"))),
    (b"\xff\xd8\xff", Kind(("jpg", "jpeg", "jpe", "jfif"))),
    (b"GIF87a", Kind(("gif",))),
    (b"GIF89a", Kind(("gif",))),
    (b"II*\x00", Kind(("tiff", "tif", "dng"))),
    (b"MM\x00*", Kind(("tiff", "tif", "dng"))),
    (b"\x00\x00\x01\x00", Kind(("ico",))),
    (b"%PDF-", Kind(("pdf", "ai"))),
    (b"{\\rtf", Kind(("rtf", "doc"))),
    (b"PK\x03\x04", Kind(("zip", *_OFFICE))),
    (b"PK\x05\x06", Kind(("zip", *_OFFICE))),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind(("ole", "doc", "xls", "ppt", "msg", "msi"))),
    (b"\x1f\x8b\x08", Kind(("gz", "tgz", "svgz"))),
    (b"BZh", Kind(("bz2", "tbz2"))),
    (b"\xfd7zXZ\x00", Kind(("xz", "txz"))),
    (b"7z\xbc\xaf\x27\x1c", Kind(("7z",))),
    (b"Rar!\x1a\x07", Kind(("rar", "cbr"))),
    (b"\x1aE\xdf\xa3", Kind(("webm", "mkv", "mka"))),
    (b"OggS\x00", Kind(("ogg", "oga", "ogv", "opus", "spx"))),
    (b"fLaC", Kind(("flac",))),
    (b"ID3", Kind(("mp3", "mp2", "aac"))),
    (b"\xff\xfb", Kind(("mp3", "mp2"))),
    (b"\xff\xf3", Kind(("mp3", "mp2"))),
    (b"\xff\xf2", Kind(("mp3", "mp2"))),
    (b"\xff\xf1", Kind(("aac", "mp3"))),
    (b"\xff\xf9", Kind(("aac", "mp3"))),
    (b"FLV\x01", Kind(("flv",))),
    (b"wOFF", Kind(("woff",))),
    (b"wOF2", Kind(("woff2",))),
    (b"\x7fELF", Kind(("elf", "so", "o", "bin"))),
    (b"MZ\x90\x00", Kind(("exe", "dll"))),
)
_RIFF = {b"WEBP": Kind(("webp",)), b"WAVE": Kind(("wav",)), b"AVI ": Kind(("avi",))}
_ISO_MEDIA = Kind(("mp4", "m4v", "m4a", "m4b", "mov", "3gp", "3g2", "qt", "f4v", "mpg4"))
_ISO_PICTURES = {b"avif": Kind(("avif",)), b"heic": Kind(("heic", "heif")), b"mif1": Kind(("heic", "heif", "avif"))}
_HTML = Kind(("html", "htm", "xhtml"), text=True)
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<script", b"<body", b"<iframe")
_SIGNED = frozenset(suffix for _, kind in _PREFIXES for suffix in kind.suffixes if suffix != "bin").union(
    *(kind.suffixes for kind in (*_RIFF.values(), *_ISO_PICTURES.values(), _ISO_MEDIA))
)


def sniff(content: bytes) -> Kind | None:
    """The kind of content that the bytes show; None when they bear no known signature (plain text, for one)."""
    if content[4:8] == b"ftyp":
        return _ISO_PICTURES.get(content[8:12], _ISO_MEDIA)
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12])
    found = next((kind for prefix, kind in _PREFIXES if content.startswith(prefix)), None)
    if found is None and content[:512].lstrip(b"\xef\xbb\xbf \t\r\n\x0c").lower().startswith(_HTML_STARTS):
        return _HTML
    return found


def true_name(name: str, content: bytes, *, distrust: bool) -> str:
    """``name`` with the suffix of what the content really is.

    A suffix that agrees with the content stays. With ``distrust`` (files from the network) a suffix that promises a
    known signature which the content lacks becomes ``.bin``.
    """
    suffix = PurePath(name).suffix.lower().removeprefix(".")
    kind = sniff(content)
    if kind is None:
        return with_suffix(name, "bin") if distrust and suffix in _SIGNED and content else name
    if suffix in kind.suffixes or (kind.text and suffix not in _SIGNED and suffix not in ("", "bin")):
        return name
    return with_suffix(name, kind.suffixes[0])


def with_suffix(name: str, suffix: str) -> str:
    """``name`` with another suffix; a name without one gets it."""
    return f"{PurePath(name).stem or 'file'}.{suffix}"


def suffix_of(mime: str) -> str:
    """The suffix (with its dot) for a media type; ``.bin`` for one that is not known."""
    return _TYPES.guess_extension(mime.partition(";")[0].strip().lower()) or ".bin"


def mime_of(name: str) -> str:
    """The media type for a file's name; ``application/octet-stream`` for one that is not known."""
    return _TYPES.guess_type(name)[0] or "application/octet-stream"
