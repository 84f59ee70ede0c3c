"""The command line: python -m ppo_lesson sft | reward | rlhf | export | explain."""

import argparse
import difflib
import os
import shlex
import sys
import traceback
from pathlib import Path

from ppo_lesson.commands import STOPPED, options, stoppable_imports

BAD = 2
TOOLS = ("export", "explain")  # commands without a run of their own
LESSON = ("doctor", "progress", "sweep")  # commands of the course, which people look for here too


def main(argv=None):
    """Run one command and return its exit status: 0, 2 for what you can mend, 130 for Ctrl-C."""
    sys.stdout, sys.stderr = (x or open(os.devnull, "w") for x in (sys.stdout, sys.stderr))  # noqa: SIM115 (closed)
    for stream in (sys.stdout, sys.stderr):  # a console that lacks a letter of a reply must not end a run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    with stoppable_imports():
        command, given = _parsed(argv)
    return _plainly(command, given)


def _parsed(argv) -> tuple:
    """(command, options)."""
    about = "SFT, reward model and PPO of a language model with your own data."
    parser = argparse.ArgumentParser("python -m ppo_lesson", description=about, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    argv = sys.argv[1:] if argv is None else argv
    helps = any(word in ("-h", "--help") for word in argv[1:])  # of one command: its defaults load torch
    options.add_commands(commands, helps=helps)
    export = commands.add_parser("export", help="write your settings as a run of another library", allow_abbrev=False)
    options.add_options(export, "export", helps=helps)
    explain = commands.add_parser("explain", help="say what a run's log shows, whoever wrote it", allow_abbrev=False)
    options.add_options(explain, "explain", helps=helps)
    if argv and argv[0] in LESSON:
        parser.error(f"{argv[0]} is the lesson's: python -m course {argv[0]}, in the folder notebooks of a checkout")
    given, unknown = parser.parse_known_args(argv)
    given = vars(given)
    command = given.pop("command")
    if unknown:
        known = ["--" + name.replace("_", "-") for name in given]
        close = difflib.get_close_matches(unknown[0], known, 1)
        parser.error(f"{command} has no {unknown[0]}" + (f"; did you mean {close[0]}?" if close else ""))
    return command, given


def _plainly(command, given):
    """The command; an error that its user can mend as one message, without a traceback."""
    # Absolute, wherever a reward function may go meanwhile.
    folder = Path(os.path.abspath(os.path.expanduser(given.get("output", "."))))
    try:
        if blank := [name for name, x in given.items() if isinstance(x, str) and not x.strip()]:
            raise ValueError(f"--{blank[0].replace('_', '-')} is empty; say which, or leave it out")
        given = {name: os.path.expanduser(x) if isinstance(x, str) else x for name, x in given.items()}
        with stoppable_imports():
            from ppo_lesson.commands import explain, export, train
        if command in TOOLS:
            {"export": export, "explain": explain}[command].execute(given)
        else:
            train.execute(command, given)
    except KeyboardInterrupt:
        exec("")  # if it came through some library's exec, Python would end by the signal, not with our status
        print("\n" + _how_to_go_on(command, given, folder), file=sys.stderr)
        return STOPPED
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        if given.get("debug"):
            traceback.print_exc()
        words = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:  # of the system, which knows no remedy
            remedy = "Is the name right, may you read or write there, is there room?"
            words = f"{error.filename}: {error.strerror}. {remedy}"
        print("\n".join([f"error: {words}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        if isinstance(error, OSError) and "Go on" in (how := _how_to_go_on(command, given, folder)):
            print(how, file=sys.stderr)
        return BAD
    return 0


def _how_to_go_on(command, given, folder):
    if command in TOOLS:
        return "stopped"
    from ppo_lesson.commands.run_folder import saved

    try:
        done = saved(folder)
    except (ValueError, OSError) as error:
        return f"stopped; {error}"
    if not done:
        return "stopped before anything was saved"
    again = shlex.join(["python", "-m", "ppo_lesson", command, "--output", given["output"], "--resume"])
    return f"stopped; {done} iterations are saved. Go on with\n  {again}"
