"""The command `lnas`."""
