"""What each command is called with: a module for each command or group, which joins `cli.root.app` when imported.

A new command is a new module here, with one line below. It declares the arguments and the help (with an example),
and imports the module of `cli` that does the work only when it runs: no module here imports more than cyclopts and
`cli.root`, or every command would start slower. The page `docs/reference/command-line.md` tells of it, which a test
asks for.
"""

from prefect_trackrecord.cli.commands import analytics as analytics
from prefect_trackrecord.cli.commands import delivery_report as delivery_report
from prefect_trackrecord.cli.commands import demo as demo
from prefect_trackrecord.cli.commands import doctor as doctor
from prefect_trackrecord.cli.commands import files as files
from prefect_trackrecord.cli.commands import import_runs as import_runs
from prefect_trackrecord.cli.commands import init as init
from prefect_trackrecord.cli.commands import prune as prune
from prefect_trackrecord.cli.commands import records as records
from prefect_trackrecord.cli.commands import recover as recover
from prefect_trackrecord.cli.commands import retry as retry
from prefect_trackrecord.cli.commands import runs as runs
from prefect_trackrecord.cli.commands import silence as silence
