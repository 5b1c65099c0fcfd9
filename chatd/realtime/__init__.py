"""Between nodes: chat streams that heal themselves, presence, typing, rates. Redis carries, PostgreSQL knows."""
