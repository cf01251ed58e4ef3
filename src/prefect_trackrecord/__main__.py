"""`python -m prefect_trackrecord`: the command `trackrecord`."""

from prefect_trackrecord.cli import main

if __name__ == "__main__":
    main()
