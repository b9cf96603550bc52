"""The file of a backup: copies of streams in one zip archive, with a checksum each.

    OBJ_snapshots, EVENTS, OBJ_files   the streams, as the bus server packs them
    manifest.json                      what they are, how far they went, their SHA-256

It is written under another name and gets its own once it is whole and on the disk; what is read
is checked to the last byte before any of it is used. Nobody but its owner may read it.
"""

import contextlib
import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

FORMAT = "segue-backup/1"
MANIFEST = "manifest.json"
PIECE_BYTES = 128 * 1024


class Kept(msgspec.Struct, frozen=True):
    """A stream in the archive."""

    name: str
    config: dict[str, Any]
    state: dict[str, Any]
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What the archive holds, and of which cluster."""

    format: str
    cluster: str
    made_at: str
    made_by: str
    streams: list[Kept]

    def stream(self, name: str) -> Kept | None:
        """Find a stream by its name."""
        return next((one for one in self.streams if one.name == name), None)


class ArchiveError(Exception):
    """The file cannot be used; the text says why."""


class Writer:
    """Makes an archive. Use it in `with`: what is not `finish`ed leaves nothing behind."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        self._streams: list[Kept] = []

    def __enter__(self) -> Self:
        """Begin the file."""
        opened = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._out = os.fdopen(opened, "wb")
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_STORED)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take away what was not finished."""
        with contextlib.suppress(OSError, ValueError):
            self._zip.close()
        self._out.close()
        with contextlib.suppress(FileNotFoundError):
            self._unfinished.unlink()

    @contextlib.contextmanager
    def stream(
        self, name: str, config: dict[str, Any], state: dict[str, Any]
    ) -> Iterator[Callable[[bytes], None]]:
        """Add a stream: give what takes its pieces."""
        digest, length = hashlib.sha256(), 0
        with self._zip.open(name, "w", force_zip64=True) as entry:

            def take(piece: bytes) -> None:
                nonlocal length
                digest.update(piece)
                length += len(piece)
                entry.write(piece)

            yield take
        self._streams.append(Kept(name, config, state, length, digest.hexdigest()))

    def finish(self, *, cluster: str, made_at: str, made_by: str) -> Manifest:
        """Write what it holds, bring it to the disk and give it its name."""
        manifest = Manifest(FORMAT, cluster, made_at, made_by, self._streams)
        self._zip.writestr(MANIFEST, json.dumps(msgspec.to_builtins(manifest), indent=1))
        self._zip.close()
        self._out.flush()
        os.fsync(self._out.fileno())
        self._unfinished.replace(self.file)
        folder = os.open(self.file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return manifest


class Reader:
    """Reads an archive. Use it in `with`; raises `ArchiveError` for what is not one."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> Self:
        """Open it and read what it holds."""
        try:
            self._zip = zipfile.ZipFile(self.file)
        except (zipfile.BadZipFile, EOFError) as error:
            raise ArchiveError(f"{self.file} is no backup, or not all of one: {error}") from error
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._zip.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self._zip.close()

    def _read_manifest(self) -> Manifest:
        try:
            text = self._zip.read(MANIFEST)
            manifest = msgspec.json.decode(text, type=Manifest)
        except (KeyError, zipfile.BadZipFile, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ArchiveError(f"{self.file} is no backup of Segue: {error}") from error
        if manifest.format != FORMAT:
            raise ArchiveError(
                f"{self.file} is a backup of the form {manifest.format!r}; "
                f"this version reads {FORMAT!r}"
            )
        return manifest

    def compared(self) -> Iterator[int]:
        """Compare every byte with its checksum, and give piece by piece how many were read."""
        for kept in self.manifest.streams:
            digest = hashlib.sha256()
            for piece in self.pieces(kept):
                digest.update(piece)
                yield len(piece)
            if digest.hexdigest() != kept.sha256:
                raise ArchiveError(f"{self.file} is damaged: {kept.name} has another checksum")

    def pieces(self, kept: Kept) -> Iterator[bytes]:
        """Give a stream's content piece by piece."""
        try:
            with self._zip.open(kept.name) as entry:
                yield from _cut(entry)
        except (KeyError, zipfile.BadZipFile, EOFError) as error:
            raise ArchiveError(f"{self.file} is damaged: {error}") from error


def _cut(entry: IO[bytes]) -> Iterator[bytes]:
    while piece := entry.read(PIECE_BYTES):
        yield piece
