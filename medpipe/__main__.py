"""``python -m medpipe``: the command line."""

from medpipe.cli.main import main

if __name__ == "__main__":
    main()
