"""`python -m ppo_lesson sft` and its sisters: see ppo_lesson/cli.py."""

import sys

from ppo_lesson.cli import main

if __name__ == "__main__":
    sys.exit(main())
