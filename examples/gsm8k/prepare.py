"""GSM8K's own files, as prompts with their answers.

    python examples/gsm8k/prepare.py --train train.jsonl --test test.jsonl --output runs/gsm8k

Reads the JSONL files of github.com/openai/grade-school-math, or the hub's parquet files (with pyarrow).
A row has "question", and "answer" that ends in "#### NUMBER". Writes train.jsonl and test.jsonl: "prompt" and "answer".
Left out: downloading. The prompt ends as verl's does, because its number is the one to compare with.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import reward

SIZES = 7473, 1319  # questions for training and for testing
ENDING = ' Let\'s think step by step and output the final answer after "####".'


def rows(path: Path) -> list[dict]:
    """The rows of a JSONL or parquet file; SystemExit that says what is wrong."""
    if not path.is_file():
        sys.exit(f"there is no file {path}")
    if path.read_bytes()[:4] == b"PAR1":
        try:
            from pyarrow import parquet
        except ModuleNotFoundError:
            sys.exit(f"{path} is a parquet file: pip install pyarrow, or take the JSONL files of grade-school-math")
        try:
            return parquet.read_table(path).to_pylist()
        except (OSError, ValueError) as error:  # pyarrow's errors are both
            sys.exit(f"{path} is not a whole parquet file: {error}\nFetch it again")
    try:
        return [json.loads(line) for line in path.read_text("utf-8-sig").split("\n") if line.strip()]
    except ValueError as error:
        sys.exit(f"{path} is not a JSONL file of GSM8K: {error}")


def prompt(row: dict, where: str) -> dict:
    """{"prompt", "answer"} of a row; SystemExit that names `where` if it is none of GSM8K's."""
    if not isinstance(row, dict) or not {"question", "answer"} <= row.keys():
        has = sorted(row) if isinstance(row, dict) else type(row).__name__
        sys.exit(f'{where}: a row of GSM8K has "question" and "answer"; this one has {has}')
    if not isinstance(row["question"], str) or not row["question"].strip():
        sys.exit(f'{where}: "question" must be a text; got {row["question"]!r}')
    value = reward.answer(str(row["answer"]))
    if value is None:
        sys.exit(f'{where}: "answer" must end in "#### NUMBER"; it ends in {str(row["answer"])[-40:]!r}')
    return {"prompt": row["question"].strip() + ENDING, "answer": str(value)}


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    for name in ("train", "test"):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="FILE", help=f"GSM8K's {name} file")
    parser.add_argument("--output", type=Path, default=Path("runs/gsm8k"), metavar="FOLDER")
    given = parser.parse_args(argv)
    made = {
        name: [prompt(row, f"{path}, row {i}") for i, row in enumerate(rows(path), 1)]
        for name, path in (("train", given.train), ("test", given.test))
    }
    counts = tuple(map(len, made.values()))
    if not all(counts) or counts == SIZES[::-1]:
        sys.exit(
            f"{given.train} has {counts[0]:,} questions and {given.test} {counts[1]:,}; GSM8K has {SIZES[0]:,} for "
            f"training and {SIZES[1]:,} for testing: "
            + ("the two are swapped" if all(counts) else "fetch the empty file again")
        )
    both = {row["prompt"] for row in made["train"]} & {row["prompt"] for row in made["test"]}
    if both:
        sys.exit(
            f"{len(both)} questions of {given.test} stand in {given.train} too: one file was named twice, or they mix"
        )
    given.output.mkdir(parents=True, exist_ok=True)
    for name, lines in made.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (given.output / f"{name}.jsonl").write_text(text, "utf-8")
        print(f"{given.output / name}.jsonl: {len(lines)} questions")
    if counts != SIZES:
        print(f"GSM8K has {SIZES[0]:,} and {SIZES[1]:,}: a share of these is not to be compared with a published one")


if __name__ == "__main__":
    main()
