"""`python -m robostack`: the same as the command `robostack`."""

from robostack.cli.main import main

main()
