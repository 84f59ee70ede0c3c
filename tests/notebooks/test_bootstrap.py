"""The first cell of every notebook, and the zip that it unpacks on Colab.

The cell runs in a Python that has nothing installed, next to empty stand-ins, one of them for `google.colab`; a folder
of the test takes the place of /content. Nobody has seen it on Colab itself.
"""

import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import colab_zip
import pytest

import notebooks
from course import doctor
from ppo_lesson import __version__

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/someone/ppo-lesson"
STAND_INS = [*doctor.NEEDED, "google/colab/__init__"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The zip as `make colab` writes it."""
    path = tmp_path_factory.mktemp("dist") / "ppo-lesson-colab.zip"
    colab_zip.write(path)
    return path


@pytest.fixture
def content(tmp_path):
    """The folder that stands for /content."""
    folder = tmp_path / "content"
    folder.mkdir()
    return folder


@pytest.fixture
def run(tmp_path, content):
    """run(folder, address="", colab=True, without=(), ...) -> CompletedProcess of the cell, in `folder`.

    `between`: Python to run after a first try of the cell, which may fail; then it runs again, in the same kernel.
    `before`: Python to run before it. `path`: where programs are looked for, in place of the stand-in for git.
    """
    stand_ins, git = tmp_path / "stand-ins", tmp_path / "bin" / "git"
    (stand_ins / "google" / "colab").mkdir(parents=True)
    (stand_ins / "pip.py").write_text("import sys; print('pip', *sys.argv[1:])")
    git.parent.mkdir()
    git.write_text(
        f'#!/bin/sh\n[ "$1 $2 $3 $4" = "clone --depth 1 {ADDRESS}" ] || exit 1\n'
        f'mkdir -p "$5" && cp -r "{ROOT / "ppo_lesson"}" "$5"\n'
        f'mkdir "$5/notebooks" && cp -r "{ROOT / "notebooks" / "course"}" "$5/notebooks"\n'
    )
    git.chmod(0o755)

    def once(folder, address="", colab=True, without=(), between=None, before="", path=None):
        for name in STAND_INS:
            (stand_ins / f"{name}.py").touch()
        for name in without:
            (stand_ins / f"{name}.py").unlink()
        cell = notebooks.bootstrap().replace('repository=""', f'repository="{address}"')
        cell = cell.replace('"/content"', repr(str(content)))
        again = f"\ntry: exec(cell)\nexcept Exception as problem: print(problem)\n{between}" if between else ""
        code = f"cell = {cell!r}{again}\nexec(cell)\nimport ppo_lesson; print(ppo_lesson.__file__)"
        code = "import google.colab\n" * colab + before + code
        programs = f"{git.parent}{os.pathsep}{os.environ['PATH']}" if path is None else str(path)
        places = {"PYTHONPATH": str(stand_ins), "PATH": programs}
        clean = {name: value for name, value in os.environ.items() if name != "COLAB_RELEASE_TAG"}
        command = [sys.executable, "-S", "-c", code]
        return subprocess.run(command, cwd=folder, env=clean | places, capture_output=True, text=True)

    return once


def course(folder):
    """What a run prints at its end when it took the course from `folder`."""
    return f"{folder / 'ppo_lesson' / '__init__.py'}\n"


# ---- the text ------------------------------------------------------------------------------------------------------


def test_it_is_formatted_short_and_says_its_version():
    text = notebooks.bootstrap()
    ruff = [sys.executable, "-m", "ruff", "format", "--check", "--stdin-filename", "cell.py", "-"]
    assert subprocess.run(ruff, input=text + "\n", text=True, cwd=ROOT).returncode == 0
    assert len(text.splitlines()) <= 25
    assert text.endswith(f'ready(version="{__version__}")') and notebooks.project()[1] == __version__


# ---- the four ways -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colab", [False, True])
def test_the_folder_around_it(run, content, whole, colab):
    shutil.copy(whole, content)  # not even looked at
    done = run(ROOT / "tests" / "browser", ADDRESS, colab)
    assert (done.stdout, done.stderr) == (course(ROOT), "")


def test_the_course_beside_it(run, tmp_path):
    for room in ("ppo_lesson", "notebooks/course"):
        shutil.copytree(ROOT / room, tmp_path / "ppo-lesson" / room)
    assert run(tmp_path, colab=False).stdout == course(tmp_path / "ppo-lesson")


@pytest.mark.parametrize("place", [".", "drive/MyDrive/ppo-lesson"])
def test_a_zip_is_unpacked_once(run, content, whole, place):
    (content / place).mkdir(parents=True, exist_ok=True)
    shutil.copy(whole, content / place)
    first = run(content, ADDRESS)  # a zip that you brought comes before the repository
    assert first.stdout.startswith(f"Unpacking {content / place}"), first.stderr
    assert first.stdout.endswith(course(content / "ppo-lesson")) and "Cloning" not in first.stdout
    (content / "ppo-lesson" / "notebooks" / "mine.txt").write_text("mine")
    again = run(content, ADDRESS)
    assert again.stdout == course(content / "ppo-lesson")
    assert (content / "ppo-lesson" / "notebooks" / "mine.txt").read_text() == "mine"


def test_the_repository(run, content):
    first = run(content, ADDRESS)
    assert first.stdout.startswith(f"Cloning {ADDRESS}"), first.stderr
    assert first.stdout.endswith(course(content / "ppo-lesson"))
    assert run(content, ADDRESS).stdout == course(content / "ppo-lesson")


def test_nothing_at_all_says_what_to_upload(run, content, tmp_path, whole):
    done = run(content)
    message = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and message.startswith("FileNotFoundError: In Colab, upload ppo-lesson-colab.zip")
    assert message.count(". ") == 1
    assert run(tmp_path, ADDRESS, colab=False).stderr.strip().splitlines()[-1] == message  # nor is it cloned unasked
    then = run(content, between=f"import shutil; shutil.copy({str(whole)!r}, {str(content)!r})")
    assert then.stdout.endswith(course(content / "ppo-lesson")), then.stderr


# ---- zips that are not as they should be ---------------------------------------------------------------------------


def test_of_two_zips_the_newest_is_taken(run, content, whole):
    newer = content / "ppo-lesson-colab (1).zip"  # what a browser calls the second download
    shutil.copy(whole, newer)
    (content / "ppo-lesson-colab.zip").write_bytes(b"an older one, and broken")
    os.utime(content / "ppo-lesson-colab.zip", (1, 1))
    done = run(content)
    assert done.stdout.startswith(f"Unpacking {newer} (the newest of 2)\n"), done.stderr
    assert done.stdout.endswith(course(content / "ppo-lesson"))


def failure(done, source, content):
    """The sentence with which a run ended that got nothing from `source`; nothing of it is left in `content`."""
    message = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and message.startswith(f"FileNotFoundError: {source} failed ("), done.stderr
    assert f"make room in {content}, or upload ppo-lesson-colab.zip" in message and message.count(". ") == 0
    assert "During handling" not in done.stderr
    assert {path.name for path in content.iterdir()} <= {"ppo-lesson-colab.zip", "mine"}
    return message


def flags_set(data):
    """The bytes of a zip in which every file says that it needs a password."""
    data = bytearray(data)
    for head, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for found in re.finditer(re.escape(head), bytes(data)):
            data[found.start() + at] |= 1
    return bytes(data)


def last_file_wrong(data):
    """The bytes of a zip whose last file, the doctor, is not what it should be; all before it are."""
    start = data.rindex(b"PK\1\2")
    return data[: start + 16] + struct.pack("<I", 12345) + data[start + 20 :]


DAMAGES = {
    "cut": lambda data: data[:-1000],
    "empty": lambda data: b"",
    "bytes": lambda data: data[: len(data) // 2] + bytes(9) + data[len(data) // 2 + 9 :],
    "password": flags_set,
    "last file": last_file_wrong,
}
NAMED = {"cut": "not a zip file", "empty": "not a zip file", "password": "password", "last file": "doctor.py"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_or_locked_zip_is_named_and_not_taken_for_the_course(run, content, whole, damage):
    zipped = content / "ppo-lesson-colab.zip"
    zipped.write_bytes(DAMAGES[damage](whole.read_bytes()))
    for _ in range(2):
        assert NAMED.get(damage, "") in failure(run(content), zipped, content)
    shutil.copy(whole, content)
    assert run(content).stdout.endswith(course(content / "ppo-lesson"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("name", ["maze.py", "doctor.py"])
def test_a_full_disk_is_named_and_the_half_not_taken_for_the_course(run, content, whole, name):
    shutil.copy(whole, content)
    full = (
        "import builtins\nopened = builtins.open\ndef on_a_full_disk(path, *how, **more):\n"
        f"    full = str(path).endswith({name!r}) and how == ('wb',)\n"
        "    return opened('/dev/full' if full else path, *how, **more)\nbuiltins.open = on_a_full_disk\n"
    )
    zipped = content / "ppo-lesson-colab.zip"
    assert "No space left on device" in failure(run(content, before=full), zipped, content)
    assert run(content).stdout.endswith(course(content / "ppo-lesson"))  # there is room again


def test_a_file_in_the_way_is_named(run, content, whole):
    shutil.copy(whole, content)
    (content / "ppo-lesson").write_text("a file")
    done = run(content)
    assert str(content / "ppo-lesson") in done.stderr.strip().splitlines()[-1]
    assert "make room in" in done.stderr and (content / "ppo-lesson").read_text() == "a file"


@pytest.mark.parametrize("trouble", ["no git", "no network", "half"])
def test_a_clone_that_fails_is_named(run, content, whole, tmp_path, trouble):
    (programs := tmp_path / "programs").mkdir()
    if trouble != "no git":
        (programs / "git").write_text(
            "#!/bin/sh\n"
            + '/bin/mkdir -p "$5/notebooks/course"; >"$5/notebooks/course/doctor.py"\n' * (trouble == "half")
            + "echo Cloning >&2; echo \"fatal: unable to access '$4'\" >&2; exit 128\n"
        )
        (programs / "git").chmod(0o755)
    words = "No such file or directory: 'git'" if trouble == "no git" else f"fatal: unable to access '{ADDRESS}'"
    assert words in failure(run(content, ADDRESS, path=programs), ADDRESS, content)
    shutil.copy(whole, content)  # the way on
    assert run(content, ADDRESS, path=programs).stdout.endswith(course(content / "ppo-lesson"))


def test_a_course_of_another_version_is_named_and_used(run, content, whole):
    other = content / "ppo-lesson-colab.zip"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'__version__ = "' + __version__.encode(), b'__version__ = "9.8'))
    done = run(content)
    line = done.stdout.splitlines()[1]
    assert f"is of version {__version__}, the course in {content / 'ppo-lesson'} of version 9.8" in line
    assert "open the notebook that came with it" in line
    assert done.returncode == 0


def test_another_zip_is_no_course(run, content):
    with zipfile.ZipFile(content / "ppo-lesson-colab.zip", "w") as new:
        new.writestr("something/else.txt", "else")
    assert "upload ppo-lesson-colab.zip" in run(content).stderr


# ---- packages ------------------------------------------------------------------------------------------------------


def test_colab_installs_only_what_it_lacks(run):
    here = ROOT / "notebooks"
    assert "pip" not in run(here).stdout
    done = run(here, without=["safetensors", "PIL"])
    assert done.stdout.startswith("pip install --quiet --no-deps pillow>=10 safetensors>=0.4\n"), done.stderr
    assert "has no safetensors" in run(here, colab=False, without=["safetensors"]).stderr


def test_an_installation_that_fails_is_named(run, tmp_path):
    (tmp_path / "stand-ins" / "pip.py").write_text("import sys; sys.exit('no network')")
    done = run(ROOT / "notebooks", without=["safetensors"])
    assert "no network" in done.stderr and done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: pip did not install ['safetensors>=0.4'] (") and "again" in last


@pytest.mark.parametrize("package", ["numpy", "torch"])
def test_numpy_and_torch_are_never_touched(run, package):
    done = run(ROOT / "notebooks", without=[package, "safetensors"])
    assert "pip" not in done.stdout and f"has no {package}" in done.stderr


# ---- the zip -------------------------------------------------------------------------------------------------------


def test_the_same_files_give_the_same_zip(whole, tmp_path):
    copy = tmp_path / "elsewhere"
    for name in colab_zip.contents():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())  # with today's date, in another order
    again = tmp_path / "again.zip"
    assert colab_zip.write(again, copy) == whole.stat().st_size < colab_zip.MAX_BYTES
    assert again.read_bytes() == whole.read_bytes()


def test_what_is_in_the_zip(whole):
    with zipfile.ZipFile(whole) as archive:
        names = [name.removeprefix("ppo-lesson/") for name in archive.namelist()]
    assert names[-1] == "notebooks/course/doctor.py"
    assert not [name for name in names if name.startswith(("tests", "tools")) or "__pycache__" in name]
    git = subprocess.run(["git", "ls-files", *colab_zip.FOLDERS], cwd=ROOT, capture_output=True, text=True)
    if git.returncode == 0 and git.stdout:
        assert {name for name in git.stdout.splitlines() if (ROOT / name).is_file()} <= set(names)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_told_with_the_way_on(tmp_path):
    target = tmp_path / "ppo-lesson-colab.zip"
    (tmp_path / f"{target.name}.part").symlink_to("/dev/full")
    done = subprocess.run([sys.executable, ROOT / "tools" / "colab_zip.py", target], capture_output=True, text=True)
    assert done.returncode == 1 and not target.exists() and done.stderr.count("\n") == 1
    assert f"{target} was not written" in done.stderr and "No space left on device" in done.stderr
    assert "python tools/colab_zip.py FOLDER/" in done.stderr


def test_too_large_a_zip_is_not_written(tmp_path):
    target = tmp_path / "ppo-lesson-colab.zip"
    target.write_text("the one before")
    with pytest.raises(ValueError, match=r"more than 1,000; its largest files: ppo-lesson/data/.*safetensors"):
        colab_zip.write(target, limit=1000)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the one before"]
