"""`python -m meltica`: the same as the command `meltica`."""

from meltica.cli.main import main

if __name__ == "__main__":
    main()
