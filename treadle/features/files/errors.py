"""What can be wrong with an upload."""

from typing import ClassVar

from treadle.base.errors import BadInput, TreadleError


class TooLarge(TreadleError):
    """The file is larger than one may be, or than what is left of the workspace's space."""

    code: ClassVar[str] = "file_too_large"
    status: ClassVar[int] = 413


class InfectedFile(BadInput):
    """The scanner has found something in the file; it is locked away."""

    code: ClassVar[str] = "infected_file"


class ScannerUnavailable(TreadleError):
    """Files must be scanned here, and the scanner does not answer."""

    code: ClassVar[str] = "scanner_unavailable"
    status: ClassVar[int] = 503


class TooLargeToScan(TooLarge):
    """The scanner does not take files of this size, and files must be scanned here."""

    code: ClassVar[str] = "too_large_to_scan"
