"""`posegen app` as a script."""

import sys

from posegen.cli import run_tool

sys.exit(run_tool("app"))
