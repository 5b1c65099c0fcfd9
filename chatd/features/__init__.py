"""The rooms: one feature each, all of one shape (contract, store, service, api, jobs)."""
