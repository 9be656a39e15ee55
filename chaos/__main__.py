"""`python -m chaos`: the same as `meltica-chaos`."""

from chaos.cli import main

if __name__ == "__main__":
    main()
