"""The command line: python -m ppo_lesson doctor."""

import argparse

from ppo_lesson.doctor import doctor


def main(argv=None):
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m ppo_lesson", description="Helpers around the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="is this computer ready for the course?")
    parser.parse_args(argv)
    return doctor()
