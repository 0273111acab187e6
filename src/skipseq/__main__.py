"""``python -m skipseq`` is ``skipseq``."""

from skipseq.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
