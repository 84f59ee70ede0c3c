"""The command line: python -m ppo_lesson sft | reward | rlhf | export."""

import argparse
import difflib
import sys
import traceback

from ppo_lesson.commands import options

BAD, STOPPED = 2, 130
LESSON = ("doctor", "progress", "sweep")  # commands of the course, which people look for here too


def main(argv=None):
    """Run one command and return its exit status: 0, 2 for what you can mend, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m ppo_lesson",
        description="SFT, reward model and PPO of a language model with your own data.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    argv = sys.argv[1:] if argv is None else argv
    helps = any(word in ("-h", "--help") for word in argv[1:])  # of one command: its defaults load torch
    options.add_commands(commands, helps=helps)
    export = commands.add_parser("export", help="write your settings as a run of another library", allow_abbrev=False)
    options.add_options(export, "export", helps=helps)
    if argv and argv[0] in LESSON:
        parser.error(
            f"{argv[0]} belongs to the lesson: python -m course {argv[0]}, in the folder notebooks of a checkout"
        )
    given, unknown = parser.parse_known_args(argv)
    given = vars(given)
    command = given.pop("command")
    if unknown:
        known = ["--" + name.replace("_", "-") for name in given]
        close = difflib.get_close_matches(unknown[0], known, 1)
        parser.error(f"{command} has no {unknown[0]}" + (f"; did you mean {close[0]}?" if close else ""))
    return _plainly(command, given)


def _plainly(command, given):
    """The command; an error that its user can mend as one message, without a traceback."""
    try:
        if command == "export":
            from ppo_lesson.commands import export

            export.execute(given)
        else:
            from ppo_lesson.commands import train

            train.execute(command, given)
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
    if command not in options.COMMANDS:
        return "stopped"
    from pathlib import Path

    from ppo_lesson.commands.run_folder import saved

    done = saved(Path(given["output"]))
    if not done:
        return "stopped before anything was saved"
    return (
        f"stopped; {done} iterations are saved. Go on with\n"
        f"  python -m ppo_lesson {command} --output {given['output']} --resume"
    )
