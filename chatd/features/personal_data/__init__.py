"""Personal data: all that is held of somebody, given to them, or taken away for good.

Owns data_exports and data_export_parts. Emits nothing of its own. The topmost room, since it asks every other
for what it holds; what a table declares to go with its user goes, and is given, without being named here.
"""
