"""What every layer may import: ids, errors, clock, settings, declarations. No I/O."""
