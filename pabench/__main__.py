"""`python -m pabench` is the command line."""

from pabench.cli.main import main

if __name__ == "__main__":  # worker processes import this module again
    main()
