"""The command line: python -m ppo_lesson doctor | sft | reward | rlhf | sweep | export."""

import argparse
import difflib
import sys
import traceback

from course.doctor import doctor

from ppo_lesson.commands import options

BAD, STOPPED = 2, 130


def main(argv=None):
    """Run one command and return its exit status: 0, 2 for what you can mend, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m ppo_lesson",
        description="Helpers around the notebooks, and training with your own data.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    look = commands.add_parser("doctor", help="is this computer ready for the course?")
    look.add_argument("--fix", action="store_true", help="let JupyterLab keep panels in saved notebooks")
    options.add_commands(commands)
    sweep = commands.add_parser("sweep", help="train the help desk under many settings (hours)")
    sweep.add_argument("--only", nargs="+", metavar="NAME", help="these settings alone")
    sweep.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    sweep.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    sweep.add_argument("--finished", action="store_true", help="train nothing: write the file from what there is")
    export = commands.add_parser("export", help="write your settings as a run of another library", allow_abbrev=False)
    if "export" in (sys.argv[1:] if argv is None else argv):  # its options load torch
        from ppo_lesson.commands.export import add_arguments

        add_arguments(export)
    given, unknown = parser.parse_known_args(argv)
    given = vars(given)
    command = given.pop("command")
    if unknown:
        known = ["--" + name.replace("_", "-") for name in given]
        close = difflib.get_close_matches(unknown[0], known, 1)
        parser.error(f"{command} has no {unknown[0]}" + (f"; did you mean {close[0]}?" if close else ""))
    return doctor(**given) if command == "doctor" else _plainly(command, given)


def _plainly(command, given):
    """The command; an error that its user can mend as one message, without a traceback."""
    try:
        if command == "sweep":
            from course.desk import sweep

            sweep.main(given["only"], given["seeds"], given["jobs"], given["finished"])
        elif command == "export":
            from ppo_lesson.commands import export

            export.run(given)
        else:
            from ppo_lesson.commands import train

            train.run(command, given)
    except KeyboardInterrupt:
        print("\n" + _how_to_go_on(command, given), file=sys.stderr)
        return STOPPED
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        if given.get("debug"):
            traceback.print_exc()
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        return BAD
    return 0


def _how_to_go_on(command, given):
    if command not in options.WORDS:
        return "stopped" + ("; the same command goes on with the next run" if command == "sweep" else "")
    from pathlib import Path

    from ppo_lesson.commands.folder import saved

    done = saved(Path(given["output"]))
    if not done:
        return "stopped before anything was saved"
    return (
        f"stopped; {done} iterations are saved. Go on with\n"
        f"  python -m ppo_lesson {command} --output {given['output']} --resume"
    )
