"""Measurements of chatd, one a module: ``async def run(options) -> dict``; ``loadtest.bench`` runs them.

Every module starts a chatd of its own (``rig``), loads it from a process of its own (``load``, made of the
raw clients of ``lean``), and measures what the same machine can do at most (``floors``) in the same run.
"""
