"""The one table of what Segue does with each attribute of the Compose Specification.

Each row says honour, note or refuse, the note or the advice, the shape, and where the value goes.
Reading, the engine's create call and the support table in the docs are all derived from it.
"""

from segue.compose.attributes.autoscale import AUTOSCALE
from segue.compose.attributes.deploy import DEPLOY
from segue.compose.attributes.ingress import INGRESS
from segue.compose.attributes.jobs import JOBS
from segue.compose.attributes.probes import PROBES
from segue.compose.attributes.service import SERVICE
from segue.compose.attributes.service_parts import SERVICE_PARTS
from segue.compose.attributes.top import TOP
from segue.compose.findings import Row, Table

ROWS: tuple[Row, ...] = (
    *TOP,
    *SERVICE,
    *INGRESS,
    *AUTOSCALE,
    *JOBS,
    *PROBES,
    *SERVICE_PARTS,
    *DEPLOY,
)


def _sections(rows: tuple[Row, ...]) -> Table:
    """Sort the rows by the mapping they are keys of."""
    sections: dict[str, dict[str, Row]] = {}
    for row in rows:
        parent, _, key = row.path.rpartition(".")
        if key == "*":
            sections.setdefault(row.path, {})
            continue
        keys = sections.setdefault(parent, {})
        assert key not in keys, f"two rows for {row.path}"
        keys[key] = row
    return sections


TABLE: Table = _sections(ROWS)
