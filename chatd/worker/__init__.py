"""Background jobs: their runner and their schedule."""
