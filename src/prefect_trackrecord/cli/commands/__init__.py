"""What each command is called with: a module for each command or group, whose `command` joins `cli.root.app` by name.

A new command is a new module here, with one line below. It declares the arguments and the help (with an example),
and imports the module of `cli` that does the work only when it runs. The modules themselves are imported when their
command is typed, or a help lists it; so none costs the others their start. The page
`docs/reference/command-line.md` tells of it, which a test asks for.
"""

COMMANDS = {
    "delivery-report": "delivery_report",
    "demo": "demo",
    "doctor": "doctor",
    "export": "export",
    "files": "files",
    "import-runs": "import_runs",
    "init": "init",
    "prune": "prune",
    "records": "records",
    "recover": "recover",
    "retry": "retry",
    "runs": "runs",
    "silence": "silence",
    "sql": "sql",
}
"""The module of each command."""
