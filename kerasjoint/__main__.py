"""``python -m kerasjoint``: the command line."""

from kerasjoint.experiments.cli import main

if __name__ == "__main__":
    main()
