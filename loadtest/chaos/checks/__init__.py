"""Pure functions from records to violations, so that tests can plant what they must find."""
