"""`python -m ppo_lesson sft` and its sisters: see commands/main.py."""

import sys

from ppo_lesson.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
