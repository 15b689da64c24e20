"""The command `mella-build`; where packages for building are missing, it says how to get them."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from mella.builders.cli import main as run
    except ModuleNotFoundError as error:
        if (error.name or "mella").partition(".")[0] == "mella":
            raise
        sys.exit(
            f"mella-build needs {error.name}, which is not installed. Install what building needs: "
            "pip install 'mella[build]'"
        )
    run()
