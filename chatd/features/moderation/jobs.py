"""Periodic work of moderation."""

from chatd.core.declarations import Job
from chatd.features.moderation import classifier, filters

JOBS = (
    Job("moderation.filters", 2.0, filters.refresh, everywhere=True),
    Job("moderation.classify", 1.0, classifier.work),
)
