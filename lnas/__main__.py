"""`python -m lnas` is the command `lnas`."""

from lnas.cli.main import run

if __name__ == "__main__":
    run()
