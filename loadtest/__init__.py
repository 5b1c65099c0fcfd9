"""Programs that load chatd, replay real conversations into it, measure it and break it.

They speak to it as strangers do, by the contract of the wire alone: nothing here imports chatd, but for its
private servers, where PostgreSQL and Redis are to be hurt.
"""
