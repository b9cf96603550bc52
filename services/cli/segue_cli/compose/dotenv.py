"""Files of variables: `.env`, `--env-file`, `env_file` and `label_file`.

`KEY=VALUE`, one a line, with comments; single quotes keep their content, double quotes know
escapes, both may span lines; variables are filled in outside single quotes. The format `raw`
takes every value as it stands.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from segue_cli.compose.interpolation import Unfilled, substitute
from segue_cli.compose.nodes import Mark
from segue_cli.compose.trouble import Trouble

_KEY = re.compile(r"(?:export[ \t]+)?(?P<key>[^\s=#'\"$]+)[ \t]*(?P<mark>=|(?=\n|$|#))")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.\-\[\]/]+")
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?=\n|$)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "a": "\a", "b": "\b"}
_ESCAPES |= {"f": "\f", "v": "\v", "$": "$$"}  # `$$` is a dollar sign to what fills in variables.


class Entry(NamedTuple):
    """A variable's value, None where the file only names it, and where it was written."""

    value: str | None
    mark: Mark


def read(
    text: str, file: str, outside: Mapping[str, str | None], trouble: Trouble
) -> dict[str, Entry]:
    """Read a file of variables; what is set `outside` fills in before what the file has set."""
    scanner = _Scanner(text.replace("\r\n", "\n"), file, outside, trouble)
    scanner.run()
    return scanner.found


def read_raw(text: str, file: str, trouble: Trouble) -> dict[str, Entry]:
    """Read a file of variables whose values stand as they are."""
    found: dict[str, Entry] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        mark = Mark(file, number)
        if not _PLAIN_KEY.fullmatch(key.strip()):
            trouble.wrong(mark, "", f"'{key.strip()[:60]}' is no variable's name")
            continue
        found[key.strip()] = Entry(value if equals else None, mark)
    return found


class _Scanner:
    def __init__(
        self, text: str, file: str, outside: Mapping[str, str | None], trouble: Trouble
    ) -> None:
        self._text = text.removeprefix("\ufeff")
        self._file = file
        self._outside = outside
        self._trouble = trouble
        self._at = 0
        self.found: dict[str, Entry] = {}

    def run(self) -> None:
        """Read to the end; a line that cannot be read is a problem and is passed over."""
        while True:
            blank = re.compile(r"(?:\s|#[^\n]*(?:\n|$))*").match(self._text, self._at)
            self._at = blank.end() if blank else self._at
            if self._at >= len(self._text):
                return
            mark = self._mark()
            try:
                self._line(mark)
            except Unfilled as error:
                self._trouble.wrong(mark, "", error.what, error.hint, error.kind)
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end

    def _mark(self) -> Mark:
        line = self._text.count("\n", 0, self._at) + 1
        return Mark(self._file, line, self._at - self._text.rfind("\n", 0, self._at))

    def _line(self, mark: Mark) -> None:
        key = _KEY.match(self._text, self._at)
        if not key or not _PLAIN_KEY.fullmatch(key["key"]):
            line = self._text[self._at :].split("\n", 1)[0]
            raise Unfilled(f"'{line[:60]}' is no KEY=VALUE", "write one variable a line", "dotenv")
        self._at = key.end()
        if not key["mark"]:
            self.found[key["key"]] = Entry(None, mark)
            self._end_of_line()
            return
        self._at += len(self._text[self._at :]) - len(self._text[self._at :].lstrip(" \t"))
        quote = self._text[self._at : self._at + 1]
        value = self._quoted(quote) if quote in ("'", '"') and quote else self._unquoted()
        self.found[key["key"]] = Entry(value, mark)

    def _unquoted(self) -> str:
        line = self._text[self._at :].split("\n", 1)[0]
        self._at += len(line)
        if line.startswith("#"):
            return ""
        value = re.split(r"[ \t]#", line, maxsplit=1)[0].rstrip()
        return self._filled(value)

    def _quoted(self, quote: str) -> str:
        start = self._at
        at, template = start + 1, ""
        while True:
            char = self._text[at : at + 1]
            if not char:
                raise Unfilled(
                    f"the quote in {self._text[start:].split(chr(10), 1)[0][:40]} is not closed",
                    "close it on this line or a later one",
                    "dotenv",
                )
            if char == quote:
                break
            if char == "\\":
                template += self._escape(self._text[at + 1 : at + 2], quote)
                at += 2
                continue
            template += char
            at += 1
        self._at = at + 1
        self._end_of_line()
        return self._filled(template) if quote == '"' else template

    @staticmethod
    def _escape(char: str, quote: str) -> str:
        if quote == "'":
            return char if char == "'" else f"\\{char}"
        return _ESCAPES.get(char, f"\\{char}")

    def _end_of_line(self) -> None:
        rest = _REST.match(self._text, self._at)
        if not rest:
            raise Unfilled(
                "there is text after the value", "put the whole value in quotes", "dotenv"
            )
        self._at = rest.end()

    def _filled(self, template: str) -> str:
        variables = {key: entry.value for key, entry in self.found.items()}
        variables |= {key: value for key, value in self._outside.items() if value is not None}
        return substitute(template, variables, lambda _name: None)
