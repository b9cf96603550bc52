"""The one place that reads files: Compose documents, files of variables, contents of secrets.

A path is shown as the operator would write it: beside the first file as that was named.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from segue_cli.compose import dotenv, yaml12
from segue_cli.compose.nodes import Mark, Node
from segue_cli.compose.trouble import Trouble

TEXT_BYTES_MAX = 8 * 1024**2
CONTENT_BYTES_MAX = 1024**2


class Sources:
    """Files that have been read, each once."""

    def __init__(self, first: Path, trouble: Trouble) -> None:
        self._folder = first.parent
        self._absolute = first.parent.absolute()
        self._trouble = trouble
        self._documents: dict[Path, list[Node]] = {}
        self.contents: dict[str, bytes] = {}  # By digest.
        self.broken = False  # A Compose file could not be read to its end.

    def shown(self, path: Path) -> str:
        """Spell a path beside the first file, as that was given."""
        if not path.is_absolute():
            return str(path)
        return str(self._folder / os.path.relpath(path, self._absolute))

    def documents(self, path: Path, mark: Mark | None = None, where: str = "") -> list[Node]:
        """Parse a Compose file; `mark` and `where` are the place that names it."""
        if path not in self._documents:
            text = self._text(path, mark or Mark(self.shown(path)), where)
            found = None
            if text is not None:
                found = yaml12.parse(text, self.shown(path), self._trouble)
            self.broken = self.broken or found is None
            self._documents[path] = [node for node in found or [] if self._is_document(node)]
            if found == []:
                self._trouble.wrong(Mark(self.shown(path)), "", "the file is empty", kind="yaml")
        return self._documents[path]

    def _is_document(self, node: Node) -> bool:
        if not isinstance(node.value, dict) and node.value is not None:
            what = "the document must be a mapping with the key 'services'"
            self._trouble.wrong(node.mark, "", what)
        return isinstance(node.value, dict)

    def variables(
        self,
        path: Path,
        outside: Mapping[str, str | None],
        mark: Mark,
        where: str,
        *,
        raw: bool = False,
    ) -> dict[str, dotenv.Entry]:
        """Read a file of variables."""
        text = self._text(path, mark, where)
        if text is None:
            return {}
        if raw:
            return dotenv.read_raw(text, self.shown(path), self._trouble)
        return dotenv.read(text, self.shown(path), outside, self._trouble)

    def keep(self, content: bytes) -> str:
        """Keep a content under its digest."""
        digest = hashlib.sha256(content).hexdigest()
        self.contents[digest] = content
        return digest

    def content(self, path: Path, mark: Mark, where: str) -> bytes | None:
        """Read the content of a secret or config."""
        return self._bytes(path, mark, where, CONTENT_BYTES_MAX)

    def _text(self, path: Path, mark: Mark, where: str) -> str | None:
        data = self._bytes(path, mark, where, TEXT_BYTES_MAX)
        if data is None:
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            at = Mark(self.shown(path), line)
            self._trouble.wrong(at, "", "is not UTF-8 text", "save it as UTF-8", "yaml")
            return None

    def _bytes(self, path: Path, mark: Mark, where: str, most: int) -> bytes | None:
        shown = self.shown(path)
        try:
            with path.open("rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError:
            self._trouble.wrong(mark, where, f"there is no file {shown}", kind="file")
        except IsADirectoryError:
            self._trouble.wrong(mark, where, f"{shown} is a folder", "name a file", "file")
        except OSError as error:
            self._trouble.wrong(mark, where, f"cannot read {shown}: {error.strerror}", kind="file")
        except ValueError:
            self._trouble.wrong(mark, where, f"no file is called {shown!r}", kind="file")
        else:
            if len(data) <= most:
                return data
            self._trouble.wrong(
                mark,
                where,
                f"{shown} is larger than {most // 1024} KiB",
                "put it into the image or a volume",
                "file",
            )
        return None
