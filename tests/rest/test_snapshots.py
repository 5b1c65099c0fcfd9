"""docs/openapi.json and docs/asyncapi.json are what the server would say."""

from pathlib import Path

from chatd import catalog
from chatd.rest import snapshots

DOCS = Path(__file__).parents[2] / "docs"


def test_the_snapshots_are_what_the_tables_say():
    made = snapshots.documents(catalog.ROUTES, catalog.COMMANDS, catalog.EVENTS)
    stale = snapshots.stale_snapshots(DOCS, made)
    assert not stale, f"{stale} differ: if the change is meant, run chatd contract --write docs"
