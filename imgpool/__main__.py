"""`python -m imgpool` is `imgpool`."""

from imgpool.cli import main

if __name__ == "__main__":
    main()
