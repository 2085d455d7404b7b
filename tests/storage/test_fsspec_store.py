"""Stages behind a URL: seen by all when they are whole, copied with their checksums, claimed by one run at a time."""

from __future__ import annotations

import dataclasses
import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.processes import forked
from tests.storage.other_runs import ELSEWHERE, refusing
from workbench.storage.artifacts import ArtifactError, ArtifactStore
from workbench.storage.atomic import StorageError
from workbench.storage.chosen_store import open_store
from workbench.storage.claims import CLAIMS, STALE, ClaimLost
from workbench.storage.fsspec_store import FsspecStore
from workbench.storage.locks import is_held
from workbench.storage.remote_claims import RemoteClaims
from workbench.storage.remote_files import RemoteFiles
from workbench.storage.run_claims import RunClaims

WEIGHTS = {"a": torch.arange(6.0)}


# Versions of fsspec before 2025 write over what is in memory.
EXCLUSIVE = ["file", *(["memory"] if RemoteFiles("memory://tried").can_make(".probe") else [])]


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path: Path) -> str:
    """A place that nobody else uses."""
    return place(request.param, tmp_path)


@pytest.fixture(params=EXCLUSIVE)
def exclusive_url(request, tmp_path: Path) -> str:
    """One where of two runs one alone can make a file."""
    return place(request.param, tmp_path)


def place(kind: str, folder: Path) -> str:
    return f"memory://{uuid.uuid4().hex}/kept" if kind == "memory" else f"file://{folder}/far/kept"


def store_of(url: str, folder: Path) -> tuple[ArtifactStore, RemoteFiles]:
    store = FsspecStore(url, folder)
    return ArtifactStore(store), store.files


def write(store: ArtifactStore, key: str = "abc", **more: Any) -> None:
    store.write(key, WEIGHTS, "{}", {"phase": "tune"}, [{"step": 1}], **more)


def test_what_one_machine_made_another_one_reads(url: str, tmp_path: Path):
    here, _ = store_of(url, tmp_path / "here")
    there, _ = store_of(url, tmp_path / "there")
    assert not there.has("abc")
    assert there.summary("abc") is None
    write(here)
    here.write_features("def", ["a.png"], torch.ones(1, 2, 3), {"encoder": "e"})
    assert there.has("abc") and there.has("def")
    assert there.store.names() == ["abc", "def"]
    found = there.read("abc")
    assert found.folder == tmp_path / "there/abc"
    assert torch.equal(found.weights["a"], WEIGHTS["a"])
    assert found.tokenizer_file is not None
    assert found.summary["phase"] == "tune"
    summary, images, tokens = there.read_features("def")
    assert (summary["encoder"], images, tokens.shape) == ("e", ["a.png"], (1, 2, 3))


def test_a_copy_is_made_once_and_again_where_it_was_damaged(url: str, tmp_path: Path, monkeypatch):
    here, _ = store_of(url, tmp_path / "here")
    there, files = store_of(url, tmp_path / "there")
    write(here)
    there.read("abc")
    got: list[str] = []
    get = files.get
    monkeypatch.setattr(files, "get", lambda name, file: (got.append(name), get(name, file)))
    there.read("abc")
    assert got == []
    (tmp_path / "there/abc/weights.safetensors").write_bytes(b"cut")
    assert torch.equal(there.read("abc").weights["a"], WEIGHTS["a"])
    assert len(got) == 3


def test_a_stage_that_was_made_again_takes_the_place_of_its_copy(url: str, tmp_path: Path):
    here, _ = store_of(url, tmp_path / "here")
    there, _ = store_of(url, tmp_path / "there")
    write(here)
    there.read("abc")
    here.write("abc", {"a": torch.zeros(2)}, None, {"phase": "tune"}, [])
    assert torch.equal(there.read("abc").weights["a"], torch.zeros(2))
    assert there.read("abc").tokenizer_file is None


def test_the_summary_comes_last_and_not_at_all_where_the_claim_was_lost(url: str, tmp_path: Path):
    here, files = store_of(url, tmp_path / "here")
    seen: list[bool] = []

    def check() -> None:
        seen.append(here.has("abc"))
        if len(seen) == 2:  # first for the folder, then for the store
            assert len(files.names("abc")) == 1, "its files are there"
            raise ClaimLost("lost")

    with pytest.raises(ClaimLost):
        write(here, check=check)
    assert seen == [False, False]
    assert not here.has("abc")
    assert here.store.names() == []


def test_a_stage_that_lies_on_this_machine_alone_is_shared(url: str, tmp_path: Path):
    write(ArtifactStore(tmp_path / "here"))
    here, _ = store_of(url, tmp_path / "here")
    assert not here.has("abc")
    assert not here.share("def")
    assert here.share("abc")
    assert here.has("abc")
    assert torch.equal(store_of(url, tmp_path / "there")[0].read("abc").weights["a"], WEIGHTS["a"])


@pytest.mark.parametrize("spoiled", ["a file", "the summary", "a missing file", "the summary of another one"])
def test_what_is_damaged_there_is_told_and_removed_everywhere(url: str, tmp_path: Path, spoiled: str):
    here, files = store_of(url, tmp_path / "here")
    there, _ = store_of(url, tmp_path / "there")
    write(here)
    write(here, "def")
    (uploaded,) = [name for name in files.names("abc") if name != "stage.json"]
    if spoiled == "a file":
        files.write(f"abc/{uploaded}/weights.safetensors", b"no weights")
    elif spoiled == "a missing file":
        files.remove(f"abc/{uploaded}/weights.safetensors")
    else:
        content = files.read("def/stage.json")
        files.write("abc/stage.json", b"{}" if spoiled == "the summary" else content or b"")
    with pytest.raises(ArtifactError) as told:
        there.read("abc")
    assert told.value.key == "abc"
    assert not (tmp_path / "there/abc").exists()
    there.remove("abc")
    assert not there.has("abc")
    assert there.store.names() == ["def"]
    assert not list((tmp_path / "there").glob("*.tmp"))


def test_a_file_that_arrives_damaged_is_fetched_once_more(url: str, tmp_path: Path, monkeypatch):
    here, _ = store_of(url, tmp_path / "here")
    there, files = store_of(url, tmp_path / "there")
    write(here)
    get, spoiled = files.get, []

    def late(name: str, file: Path) -> None:
        get(name, file)
        if not spoiled:
            spoiled.append(name)
            file.write_bytes(file.read_bytes()[:-1])

    monkeypatch.setattr(files, "get", late)
    assert torch.equal(there.read("abc").weights["a"], WEIGHTS["a"])


def test_a_place_that_cannot_be_reached_is_told_and_is_no_missing_stage(tmp_path: Path, monkeypatch):
    here, files = store_of(f"memory://{uuid.uuid4().hex}", tmp_path)
    for name in ("exists", "cat_file", "put_file", "pipe_file", "ls", "rm", "open"):
        monkeypatch.setattr(files._files, name, refusing(110))
    asked: list[Callable[[], object]] = [
        lambda: here.has("abc"),
        lambda: here.summary("abc"),
        lambda: here.read("abc"),
        lambda: write(here),
        lambda: here.remove("abc"),
        here.store.names,
    ]
    for ask in asked:
        with pytest.raises(StorageError, match="memory://.* cannot be used: .*timed out") as told:
            ask()
        assert told.value.transient


def claims_of(url: str, here: RunClaims, clock: list[float]) -> RemoteClaims:
    return RemoteClaims(RemoteFiles(url), here, now=lambda: clock[0])


def test_one_run_of_all_has_a_stage_and_its_worker_alone_keeps_it(exclusive_url: str, tmp_path: Path):
    stores = [FsspecStore(exclusive_url, tmp_path / name) for name in ("here", "there")]
    with (
        RunClaims(stores[0].folder) as a, RunClaims(stores[1].folder) as b,
        stores[0].claims(a) as ours, stores[1].claims(b) as theirs,
    ):  # fmt: skip
        token = ours.take("abc")
        assert token
        assert theirs.take("abc") is None
        assert not list((tmp_path / "there" / CLAIMS).glob("[!.]*"))
        assert theirs.holder("abc") == f"process {os.getpid()} on {a.me.host}"
        stores[0].check_claim("abc", token)
        assert ours.release("abc")
        assert not ours.release("abc")
        new = theirs.take("abc")
        assert new
        with pytest.raises(ClaimLost):
            stores[0].check_claim("abc", token)
        stores[1].check_claim("abc", new)
    assert stores[0].files.names(CLAIMS) == []


def test_a_claim_that_was_overwritten_there_is_lost(exclusive_url: str, tmp_path: Path):
    store = FsspecStore(exclusive_url, tmp_path / "here")
    with RunClaims(store.folder) as here, store.claims(here) as claims:
        token = claims.take("abc")
        assert token
        store.files.write(f"{CLAIMS}/abc", dataclasses.replace(ELSEWHERE, token="theirs").content())
        with pytest.raises(ClaimLost, match="by process 7 on far-away"):
            store.check_claim("abc", token)
        assert not claims.release("abc")
        assert store.files.exists(f"{CLAIMS}/abc"), "it is another one's"


def test_a_run_elsewhere_is_dead_when_it_was_watched_and_wrote_nothing_for_a_minute(exclusive_url: str, tmp_path: Path):
    files, clock = RemoteFiles(exclusive_url), [1000.0]
    beats = f"{CLAIMS}/.run-{ELSEWHERE.run}"
    files.write(f"{CLAIMS}/abc", dataclasses.replace(ELSEWHERE, token="theirs").content())
    with RunClaims(tmp_path / "here") as here, claims_of(exclusive_url, here, clock) as claims:
        for beat in range(10):  # ten minutes
            files.write(beats, dataclasses.replace(ELSEWHERE, token=f"{beat}").content())
            assert claims.take("abc") is None
            clock[0] += STALE
        assert claims.take("abc"), "it is seen to be the same as a minute ago"
        assert claims.holder("abc") != str(ELSEWHERE)


def claim_and_die(url: str, folder: Path) -> None:
    store = FsspecStore(url, folder)
    with RunClaims(folder) as here, store.claims(here) as claims:
        assert claims.take("abc")
        os.kill(os.getpid(), 9)


def test_a_run_of_this_machine_that_was_killed_is_known_to_be_dead_at_once(tmp_path: Path):
    url = f"file://{tmp_path}/far"
    process = forked(claim_and_die, url, tmp_path / "there")
    process.join()
    assert process.exitcode == -9
    store = FsspecStore(url, tmp_path / "here")
    with RunClaims(store.folder) as here, store.claims(here) as claims:
        assert claims.take("abc")


def upload(url: str, folder: Path, went: Path) -> None:
    store = ArtifactStore(FsspecStore(url, folder))
    with RunClaims(folder) as here, store.store.claims(here) as claims:
        while not went.exists():
            time.sleep(0.001)
        for number in range(20):
            if token := claims.take(f"stage-{number}"):
                check = lambda number=number, token=token: store.store.check_claim(f"stage-{number}", token)  # noqa: E731
                store.write(f"stage-{number}", WEIGHTS, None, {"by": os.getpid()}, [{"by": os.getpid()}], check=check)
        went.with_name(f"{os.getpid()}.ended").touch()
        while len(list(went.parent.glob("*.ended"))) < 3:
            time.sleep(0.001)


def test_processes_of_several_folders_make_each_stage_once(tmp_path: Path):
    url, went = f"file://{tmp_path}/far", tmp_path / "go"
    processes = [forked(upload, url, tmp_path / f"{number}", went) for number in range(3)]
    time.sleep(1.0)
    went.touch()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store, _ = store_of(url, tmp_path / "reader")
    assert len(store.store.names()) == 20
    made = [json.loads(file.read_text())["by"] for file in tmp_path.glob("[0-2]/stage-*/stage.json")]
    assert len(made) == 20
    for name in store.store.names():
        found = store.read(name)
        assert [line["by"] for line in found.curve] == [found.summary["by"]]


@pytest.mark.parametrize("how", ["refuses", "writes over"])
def test_where_two_runs_cannot_be_told_apart_one_at_a_time_may_run(tmp_path: Path, monkeypatch, how: str):
    url = f"memory://{uuid.uuid4().hex}"
    files = RemoteFiles(url)
    open_file = files._files.open

    def without_exclusive(path: str, mode: str = "rb", **more: Any) -> Any:
        if mode == "xb" and how == "refuses":
            raise NotImplementedError("File mode not supported")
        return open_file(path, "wb" if mode == "xb" else mode, **more)

    monkeypatch.setattr(type(files._files), "open", lambda self, *args, **more: without_exclusive(*args, **more))
    clock = [0.0]
    with RunClaims(tmp_path / "here") as here, claims_of(url, here, clock) as claims:
        assert claims.take("abc")
        with (
            RunClaims(tmp_path / "there") as there,
            pytest.raises(StorageError, match=f"one run at a time may use it: {here.me} does"),
            claims_of(url, there, clock),
        ):
            pass
        assert files.names(CLAIMS) == sorted(["abc", f".run-{here.me.run}"])
    with RunClaims(tmp_path / "there") as there, claims_of(url, there, clock) as claims:
        assert claims.take("abc")


def test_without_a_url_the_folder_is_the_store(tmp_path: Path):
    store = open_store(tmp_path)
    write(store)
    assert (tmp_path / "abc/stage.json").is_file()
    assert store.store.names() == ["abc"]


def test_a_lock_is_asked_where_the_run_that_holds_it_has_it(tmp_path: Path):
    with RunClaims(tmp_path) as claims:
        assert claims.me.lock is not None
        assert is_held(Path(claims.me.folder) / f".run-{claims.me.run}", claims.me.lock)
