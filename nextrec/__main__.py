"""``python -m nextrec`` is the command ``nextrec``."""

from nextrec.cli.main import main

if __name__ == "__main__":
    main()
