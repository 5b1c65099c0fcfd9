"""Notifications: what happened that concerns somebody, kept for them until they have seen it.

Owns notifications. Emits notification.new and notification.read to its owner's sockets. Other rooms call
``service.notify`` inside the transaction of what happened; live frame, push and digest follow from it.
"""
