"""The index follows the log."""

from chatd.core.declarations import Job
from chatd.features.search import indexing

JOBS = (
    Job("search.follow", 1.0, indexing.follow),
    Job("search.go_back", 60.0, indexing.go_back),
)
