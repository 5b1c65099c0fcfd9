"""GPs: located groups of at most five that live some hours, chat at once, and may vote to stay.

Owns gps, gp_members, gp_ballots, gp_creators, gp_census, gp_positions and gp_watches. Every GP has a chat
of type ``gp``, whose members are the GP's. Emits gp.member_joined, gp.member_left, gp.vote, gp.eligible,
gp.expiring, gp.expired, gp.converted and gp.nearby.

``service`` is the life of a GP and what others may use; it is made of ``limits`` (who may create),
``places`` (where users are), ``discovery`` (lists and watches), ``voting`` (permanence), ``ending``
(expiry) and ``views`` (what the wire shows). ``rules`` and ``geo`` are pure.

Of a place only its H3 cell (resolution 7, some 5 km²) is kept, of GPs and of users alike. Whatever is
shown, sorted or filtered by distance is measured between the middles of cells, so that no number of
questions can tell more than the cell.
"""
