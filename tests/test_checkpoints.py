"""Checkpoints survive a kill at any moment and are never trusted blindly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from eddymark import checkpoints as module
from eddymark.checkpoints import MANIFEST, SECONDS, Checkpoints
from eddymark.errors import EddymarkError

KEY = {"what": "numbers", "shape": [3]}
FACTS = {"alive": [0, 2], "big": 2**100, "nan": None}


def store(folder: Path, done: int, key: dict[str, object] = KEY) -> Checkpoints:
    """Compute numbers up to `done`, a checkpoint after each, and return what stored them."""
    checkpoints = Checkpoints(folder, key)
    found = checkpoints.load()
    numbers = [] if found is None else list(found.parts["numbers"])
    for number in range(len(numbers), done):
        numbers.append(torch.full((3,), number / 3))
        state = {"last": numbers[-1], "count": torch.tensor(number + 1)}
        checkpoints.save(number + 1, state=state, parts={"numbers": numbers, "none": []}, facts=FACTS)
    return checkpoints


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_checkpoint_gives_back_what_was_stored_and_old_parts_are_not_written_again(tmp_path: Path) -> None:
    store(tmp_path, 2)
    first = (tmp_path / "part-00000001.safetensors").stat().st_mtime_ns
    store(tmp_path, 3)
    found = Checkpoints(tmp_path, KEY).load()
    assert found is not None
    assert found.done == 3
    assert found.facts == FACTS
    assert torch.equal(found.state["last"], torch.full((3,), 2 / 3))
    assert torch.equal(torch.stack(list(found.parts["numbers"])), torch.arange(3)[:, None].expand(3, 3) / 3)
    parts = {f"part-{number:08d}.safetensors" for number in (1, 2, 3)}
    assert files(tmp_path) == parts | {"state-00000003.safetensors", MANIFEST}
    assert (tmp_path / "part-00000001.safetensors").stat().st_mtime_ns == first


def test_files_that_the_computation_has_written_itself_are_kept_and_watched_but_not_copied(tmp_path: Path) -> None:
    written = tmp_path / "store" / "array" / "0.0"
    written.parent.mkdir(parents=True)
    written.write_bytes(b"chunk")
    later = written.with_name("0.1")
    checkpoints = Checkpoints(tmp_path, KEY)
    checkpoints.save(1, state={"last": torch.ones(1)}, parts={}, written=[written])
    later.write_bytes(b"more")
    again = Checkpoints(tmp_path, KEY)
    assert again.load() is not None
    # After a kill, the same file is written again, and only then belongs to a checkpoint.
    later.write_bytes(b"the rest")
    again.save(2, state={"last": torch.ones(1)}, parts={}, written=[later])
    found = Checkpoints(tmp_path, KEY).load()
    assert found is not None
    assert found.done == 2
    assert files(tmp_path) == {"store", "state-00000002.safetensors", MANIFEST}
    for path in (written, later):
        content = path.read_bytes()
        path.write_bytes(b"x" + content[1:])
        copy = (tmp_path / MANIFEST).read_bytes(), (tmp_path / "state-00000002.safetensors").read_bytes()
        assert Checkpoints(tmp_path, KEY).load() is None
        assert path.exists()
        path.write_bytes(content)
        (tmp_path / MANIFEST).write_bytes(copy[0])
        (tmp_path / "state-00000002.safetensors").write_bytes(copy[1])
    assert Checkpoints(tmp_path, KEY).load() is not None


def test_time_spent_by_killed_runs_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    for seconds in (10.0, 7.0):
        checkpoints = Checkpoints(tmp_path, KEY)
        checkpoints.load()
        clock[0] += seconds
        checkpoints.save(1, state={"last": torch.ones(1)}, parts={})
    after = Checkpoints(tmp_path, KEY)
    after.load()
    assert after.seconds_before == 17.0


def test_nothing_stored_is_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Checkpoints(tmp_path / "nothing", KEY).load() is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [MANIFEST, "part-00000001.safetensors", "state-00000002.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "delete"])
def test_a_damaged_checkpoint_is_never_used(
    name: str, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(tmp_path, 2)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "delete":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"flip": flipped, "truncate": content[:-1], "empty": b""}[damage])
    checkpoints = Checkpoints(tmp_path, KEY)
    assert checkpoints.load() is None
    messages = capsys.readouterr().err.splitlines()
    assert len(messages) == (0 if (name, damage) == (MANIFEST, "delete") else 1)
    assert all(f"the checkpoint in {tmp_path} is not used" in line and "damaged" in line for line in messages)
    assert files(tmp_path) == set()
    store(tmp_path, 1)
    assert Checkpoints(tmp_path, KEY).load() is not None


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"digest": 1, "content": {"key": {}}}', "\x00"])
def test_a_manifest_of_another_kind_is_never_used(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    assert Checkpoints(tmp_path, KEY).load() is None


def test_a_checkpoint_of_another_computation_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path, 2)
    assert Checkpoints(tmp_path, {"what": "numbers", "shape": [4]}).load() is None
    assert "(it belongs to another computation): starting again" in capsys.readouterr().err


def test_what_a_kill_left_half_written_does_no_harm(tmp_path: Path) -> None:
    store(tmp_path, 2)
    for name in ("part-00000003.safetensors", ".state-00000003.safetensors", f".{MANIFEST}.123"):
        (tmp_path / name).write_bytes(b"half")
    found = Checkpoints(tmp_path, KEY).load()
    assert found is not None
    assert found.done == 2
    assert len(files(tmp_path)) == 4


def test_a_full_disk_costs_the_checkpoint_and_not_the_computation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = store(tmp_path, 2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    numbers = [torch.full((3,), number / 3) for number in range(4)]
    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", full)
        checkpoints.save(3, state={"last": numbers[2]}, parts={"numbers": numbers[:3]})
    assert "no checkpoint after 3: [Errno 28] No space left on device" in capsys.readouterr().err
    found = Checkpoints(tmp_path, KEY).load()
    assert found is not None
    assert found.done == 2
    checkpoints.save(4, state={"last": numbers[3]}, parts={"numbers": numbers})
    found = Checkpoints(tmp_path, KEY).load()
    assert found is not None
    assert torch.equal(torch.stack(list(found.parts["numbers"])), torch.stack(numbers))


def test_checkpoints_are_rare_enough_to_cost_a_hundredth_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    checkpoints = Checkpoints(tmp_path, KEY)
    clock[0] = 59.0
    assert not checkpoints.due()
    clock[0] = 60.0
    assert checkpoints.due()

    def slow(*_: object) -> None:
        clock[0] += 2.0

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomically", slow)
        checkpoints.save(1, state={"last": torch.ones(1)}, parts={})
    clock[0] += 199.0
    assert not checkpoints.due()
    clock[0] += 1.0
    assert checkpoints.due()
    monkeypatch.setenv(SECONDS, "0")
    assert Checkpoints(tmp_path, KEY).due()


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_an_interval_that_is_no_time_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS, text)
    with pytest.raises(EddymarkError, match=rf"{SECONDS}: expected a number of seconds, found '{text}'"):
        Checkpoints(tmp_path, KEY)


def test_the_manifest_is_plain_text_and_no_file_holds_pickles(tmp_path: Path) -> None:
    store(tmp_path, 1)
    json.loads((tmp_path / MANIFEST).read_text())
    for path in tmp_path.glob("*.safetensors"):
        length = int.from_bytes(path.read_bytes()[:8], "little")
        json.loads(path.read_bytes()[8 : 8 + length])
