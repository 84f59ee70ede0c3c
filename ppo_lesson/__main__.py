"""`python -m ppo_lesson sft` and its sisters: see commands/main.py."""

import sys

from ppo_lesson.commands import stoppable_imports

if __name__ == "__main__":
    with stoppable_imports():
        from ppo_lesson.commands.main import main
    sys.exit(main())
