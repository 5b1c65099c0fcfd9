"""Media: uploads by signed links, looked into before anybody sees them, fetched by signed links.

Owns media, media_garbage and message_attachments. Emits nothing: a medium becomes news with its message.
``pending`` (a link was given) becomes ``ready`` or ``rejected`` when its bytes have been looked into.
"""
