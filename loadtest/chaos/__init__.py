"""The correctness checker: people chat through real sockets while everything under them is broken.

``python -m loadtest.chaos [--minutes M] [--seed S] [--faults a,b] [--brief]`` runs two nodes over a
PostgreSQL and a Redis of its own, hurts them, and proves from what every socket saw and from the database
that nothing was lost, doubled, swapped, or shown wrong for longer than promised (protocol.md, 4 and 5).

    world     the servers, and how to hurt them       proxy    a network that cuts, stalls and throttles
    people    what virtual users do                   faults   what strikes, for how long, how bad it may be
    records   what is written down                    truth    what the server says when all is over
    checks    pure functions from records to violations (logs, history, states, ephemeral, outage)
    run       one run, from start to verdict          report   the table
"""
