"""The index follows the log."""

from chatd.core.declarations import Job
from chatd.features.search import indexing

JOBS = (Job("search.follow", 1.0, indexing.follow),)
