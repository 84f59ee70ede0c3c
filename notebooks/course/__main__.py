"""The lesson's own commands. In the folder `notebooks` of a checkout:

python -m course doctor      is this computer ready for the course?
python -m course progress    what you have solved, predicted and answered
python -m course sweep       train the help desk under many settings (hours)
python -m course stages      all of RLHF in three stages, from the pretrained model on (minutes a seed)
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # the checkout: `ppo_lesson` stands there, installed or not


def main(argv=None):
    """Run one command and return its exit status: 0; 1 if the doctor found what breaks the course; 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m course", description="Helpers around the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    look = commands.add_parser("doctor", help="is this computer ready for the course?")
    look.add_argument("--fix", action="store_true", help="let JupyterLab keep panels in saved notebooks")
    commands.add_parser("progress", help="what you have solved, predicted and answered")
    sweep = commands.add_parser("sweep", help="train the help desk under many settings (hours)")
    sweep.add_argument("--only", nargs="+", metavar="NAME", help="these settings alone")
    sweep.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    sweep.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    sweep.add_argument("--finished", action="store_true", help="train nothing: write the file from what there is")
    stages = commands.add_parser("stages", help="all of RLHF in three stages (minutes a seed)")
    stages.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args(argv)
    if given.command == "doctor":
        from course.doctor import doctor  # it works where torch does not

        return doctor(fix=given.fix)
    if given.command == "progress":
        from course.check import progress

        progress()
        return 0
    from ppo_lesson.commands import stoppable_imports

    try:
        with stoppable_imports():
            from course.desk import stages, sweep
        if given.command == "stages":
            stages.main(given.seeds)
        else:
            sweep.main(given.only, given.seeds, given.jobs, given.finished)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on with the next run of a sweep", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
