"""Python's cyclic garbage collector, told what a chat server is like."""

import gc


def calm_the_collector() -> None:
    """Let it look less often at what lives long; once everything is open.

    By default it starts after every 700 objects that stay, and each full look walks the objects of every
    socket: 100 ms at 10,000 sockets, and several of them in a storm of connects. What boot has made is never
    looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
