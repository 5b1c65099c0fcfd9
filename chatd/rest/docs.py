"""The /docs pages: the two documents as plain HTML, made once, without scripts."""

from collections.abc import Mapping
from typing import Any


def page(openapi: Mapping[str, Any], asyncapi: Mapping[str, Any]) -> str:
    """Every route, command, event and close code."""
    return "<!doctype html><title>chatd</title>"


def errors_page(openapi: Mapping[str, Any]) -> str:
    """Every error, under the anchor that ``type`` of a problem points to."""
    return "<!doctype html><title>chatd: errors</title>"
