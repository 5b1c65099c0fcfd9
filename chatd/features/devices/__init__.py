"""Devices: reaching members who have no socket, by FCM, APNs and Web Push.

Owns push_devices, push_outbox, push_cursor and notification_settings. Emits nothing. Messages are looked
for a grace time after they were stored, off the path of sending; everything that speaks against a push
(a receipt, a block, a ban, an ended session, a mute) is asked again in the moment of sending.
"""
