"""The WebSocket edge: bytes in, commands out; events in, bytes out. It knows no feature: boot hands it the
commands that the catalog joined, and a Backend for what happens when a socket opens.
"""
