"""Between nodes: streams that heal themselves, presence, typing, rates. Redis carries, PostgreSQL knows."""
