"""The town of tests/features/devices: nodes whose jobs run when a test says so, and push services."""

from tests.features.devices.conftest import push, settings, town, towns

__all__ = ["push", "settings", "town", "towns"]
