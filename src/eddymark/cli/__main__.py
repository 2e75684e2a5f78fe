"""`python -m eddymark.cli`, as the workflow's rules call it."""

from eddymark.cli import main

if __name__ == "__main__":
    main()
