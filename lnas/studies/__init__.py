"""Studies: variants x seeds, each searched, derived, evaluated, and put into one table."""
