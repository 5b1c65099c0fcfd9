"""Keys: under which names the objects of a medium lie. ``store.collect`` knows the same three."""

#: What thumbnails are drawn as.
THUMBNAIL_TYPE = "image/webp"


def incoming(key: str) -> str:
    """Where an object store takes the bytes before they are looked into."""
    return f"incoming-{key}"


def thumbnail_of(key: str) -> str:
    """Where the thumbnail lies."""
    return f"{key}-thumbnail"
