"""The support page of the docs, written from the table of attributes and from nothing else.

python -m segue.compose.support > docs/compose.md
"""

import sys

from segue.compose.attributes import ROWS
from segue.compose.findings import Row

_STANDS = {
    "honour": "yes",
    "note": "noted",
    "refuse": "refused",
    "client": "by the command line",
}

_HEAD = """\
# Compose files

<!-- Written by `python -m segue.compose.support > docs/compose.md`; a test compares. -->

Segue deploys [Compose files](https://compose-spec.io). A file that works with Docker Compose on one
machine works here, or Segue says, in one pass and with the line of each, what does not hold on a
cluster of many machines and what to write instead.

## How files are read

- **YAML 1.2.** `22:22`, `012`, `yes` and `0644` are what they look like, text, until an attribute
  reads them: `012` in `environment` stays `012`, where Docker Compose makes it `10`. Duplicate keys
  are a problem. Merge keys, anchors, `!reset` and `!override` are understood; aliases have a limit.
- **Variables** are filled in before files are merged, in values only: `$V`, `${V}`,
  `${V:-default}`, `${V-default}`, `${V:?error}`, `${V?error}`, `${V:+other}`, `${V+other}`, nested,
  and `$$` for a dollar sign. The process's environment comes before `--env-file` or
  the `.env` beside the first file. A variable without value or default is empty and noted once.
- **Several files** merge: mappings merge, lists append, `command`, `entrypoint` and
  `healthcheck.test` are replaced; `ports`, `volumes`, `secrets`, `configs` and `devices` that mean
  the same port, path or device are replaced one by one.
- **`extends`**, of services of the same file or of others, and **`include`**, each file with its
  own folder and `.env`. Local files only.
- **Secrets and configs** are read where you deploy and go to the bus's file store; the document
  that is deployed carries their sha256 as `x-digest`. Each may have 1 MiB.
- **Limits**: 100,000 values in a file once its aliases are written out, 2,000 services, 10,000
  ports, mounts and the like, 512 KiB of canonical spec; the first 500 problems are listed.
- **`segue config`** prints the canonical document, which reads back as itself.

Without `restart` and `deploy.restart_policy` a container that ended is followed by another, however
it ended, as in Swarm; a job, and a service whose completion another waits for, only on failure.

A program that publishes the request itself gives the same document as JSON; what needs files or the
environment of a person's machine it has to give in full.

## What each attribute comes to

*Yes*: it has its effect. *Noted*: it is accepted without effect, and Segue says so when you deploy.
*Refused*: it is a problem, or with `--ignore-unsupported` left out with a note. *By the command
line*: resolved before the document is sent. Attributes that begin with `x-` are kept everywhere;
`x-segue` of a service holds keys of Segue's own.
The third column names the field of the canonical spec, or of the engine's create call.
"""

_PARTS = (
    ("The document", ""),
    ("Services", "services.*."),
    ("Deployment of services", "services.*.deploy."),
    ("Networks", "networks."),
    ("Volumes", "volumes."),
    ("Secrets", "secrets."),
    ("Configs", "configs."),
)


def page() -> str:
    """Write the page."""
    parts = [_HEAD]
    for title, prefix in _PARTS:
        rows = [row for row in ROWS if _part(row) == prefix and not row.path.endswith("*")]
        lines = [
            f"\n### {title}\n",
            "| attribute | supported | becomes | remark |",
            "| --- | --- | --- | --- |",
            *(_line(row, prefix) for row in rows),
        ]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def _part(row: Row) -> str:
    """Find the part that a row belongs to, which is the one with the longest name."""
    return max((prefix for _, prefix in _PARTS if row.path.startswith(prefix)), key=len)


def _line(row: Row, prefix: str) -> str:
    name = row.path.removeprefix(prefix).removeprefix("*.")
    becomes = " ".join(f"`{to}`" for to in (row.field, row.engine) if to)
    return f"| `{name}` | {_STANDS[row.stand]} | {becomes} | {row.says} |"


if __name__ == "__main__":
    sys.stdout.write(page())
