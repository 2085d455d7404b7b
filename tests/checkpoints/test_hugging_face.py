"""Checkpoints of the Hugging Face hub: what is downloaded, which commit, and what keys and records say of it."""

from __future__ import annotations

import json
import sys
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModel

from tests.plugins.test_clip import TINY, clip, expected, noise, reference
from tests.small import SMALL, load, records, run_inside, small_registry
from workbench import UserError
from workbench.checkpoints.hugging_face import checkpoint_folder, hub_folder
from workbench.cli.report import make_report
from workbench.runs.planner import Planner
from workbench.runs.stages import FeatureStage
from workbench.runs.staleness import Staleness, find_stale
from workbench.storage.records import read_records

COMMIT, LATER = "0123456789" * 4, "abcdefabcd" * 4
NAME = "someone/tiny-clip"
TEXT = SMALL.replace(
    "{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}", "{name: clip, checkpoint: CHECKPOINT}"
).replace("train: [encoder, connector", "train: [connector")


@pytest.fixture(scope="module")
def tiny() -> CLIPVisionModel:
    return reference(**TINY)


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Each test asks the hub anew."""
    hub_folder.cache_clear()
    yield
    hub_folder.cache_clear()


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a download needs, for the files in `folder`."""

    folder: Path
    commit: str
    asked: list[str]
    revisions: list[str]

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.wfile.write(self.answer())

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def answer(self) -> bytes:
        files = sorted(self.folder.iterdir())
        if "/tree/" in self.path:
            sizes = [{"type": "file", "path": each.name, "size": each.stat().st_size, "oid": "0"} for each in files]
            content = json.dumps(sizes).encode()
        elif self.path.startswith("/api/"):
            self.revisions.append(self.path.partition("/revision/")[2] or "main")
            names = [{"rfilename": each.name} for each in files]
            content = json.dumps({"id": NAME, "sha": self.commit, "siblings": names}).encode()
        else:
            name = self.path.rpartition("/")[2]
            self.asked.append(name)
            content = (self.folder / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{zlib.crc32(content)}"')
        self.end_headers()
        return content


@pytest.fixture
def hub(tiny, tmp_path, monkeypatch) -> Iterator[type[Hub]]:
    """A hub on this machine that offers a tiny tower with its licence, and weights of another library."""
    import huggingface_hub.constants

    handler = type(
        "OfferedHub", (Hub,), {"folder": tmp_path / "offered", "commit": COMMIT, "asked": [], "revisions": []}
    )
    tiny.save_pretrained(handler.folder)
    (handler.folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    (handler.folder / "tf_model.h5").write_bytes(b"weights of another library")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    address = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_TELEMETRY": True,
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_hub_id_is_read_from_the_cache_of_the_hub(tiny, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--someone--tiny-clip"
    tiny.save_pretrained(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    torch.testing.assert_close(clip(checkpoint=NAME).pool(noise(32)), expected(tiny, noise(32))[1])
    with pytest.raises(UserError, match="'someone/other' is no file or folder here, nor could it be had from the hub"):
        clip(checkpoint="someone/other")


@pytest.mark.parametrize("offers_safetensors", [True, False])
def test_of_a_hub_repository_only_what_is_needed_is_downloaded(tiny, hub, offers_safetensors):
    torch.save(tiny.state_dict(), hub.folder / "pytorch_model.bin")
    if not offers_safetensors:
        (hub.folder / "model.safetensors").unlink()
    torch.testing.assert_close(clip(checkpoint=NAME).pool(noise(32)), expected(tiny, noise(32))[1])
    weights = "model.safetensors" if offers_safetensors else "pytorch_model.bin"
    assert set(hub.asked) == {"config.json", "README.md", weights}


def test_a_hub_id_may_name_its_revision(hub):
    assert checkpoint_folder(NAME).name == COMMIT
    assert checkpoint_folder(f"{NAME}@v1.0").name == COMMIT
    assert hub.revisions == ["main", "v1.0"]


def test_parts_of_the_hub_are_kept_by_content_share_features_and_are_told_in_the_record(hub, tmp_path):
    experiment = load(tmp_path, "seeds=[0, 1]", text=TEXT.replace("CHECKPOINT", NAME))
    plan = Planner(experiment, small_registry(), tmp_path / "results").plan()
    assert f"file:{NAME}/model.safetensors" in next(iter(plan.chains.values()))[0].made_of
    assert sum(isinstance(stage, FeatureStage) for stage in plan.missing.values()) == 1, "seeds share the test images"
    assert run_inside(experiment, tmp_path / "results").failed == {}
    for weights in (tmp_path / "results/artifacts").glob("*/weights.safetensors"):
        assert not any(name.startswith("encoder.") for name in load_file(weights)), "they lie in the hub's cache"
    expected_downloads = {NAME: {"commit": COMMIT, "licence": "mit"}}
    assert [each["provenance"]["downloads"] for each in records(tmp_path)] == [expected_downloads] * 2
    page = make_report(tmp_path / "results/small").read_text()
    assert f"{NAME}, commit {COMMIT}, licence mit" in page
    assert run_inside(experiment, tmp_path / "results").done == []


def test_weights_that_changed_on_the_hub_are_named_and_an_old_revision_stays(hub, tmp_path):
    experiment = load(tmp_path, text=TEXT.replace("CHECKPOINT", NAME))
    assert run_inside(experiment, tmp_path / "results").failed == {}
    changed = {name: weight + 1 for name, weight in load_file(hub.folder / "model.safetensors").items()}
    save_file(changed, hub.folder / "model.safetensors", metadata={"format": "pt"})
    hub.commit = LATER
    hub_folder.cache_clear()
    plan = Planner(experiment, small_registry(), tmp_path / "results").plan()
    reasons = {plan.missing[key].name: why for key, why in plan.reasons.items() if key in plan.distinct()}
    assert reasons == dict.fromkeys(("tune", "evaluate"), f"{NAME}/model.safetensors changed")
    assert checkpoint_folder(f"{NAME}@{COMMIT}").name == COMMIT, "it lies here already"


def test_a_report_downloads_nothing_and_says_which_weights_are_not_here(hub, tmp_path, monkeypatch):
    import huggingface_hub.constants

    experiment = load(tmp_path, text=TEXT.replace("CHECKPOINT", NAME))
    assert run_inside(experiment, tmp_path / "results").failed == {}
    records_ = read_records(tmp_path / "results/small")
    hub_folder.cache_clear()
    hub.commit = LATER
    hub.asked.clear()
    hub.revisions.clear()
    assert (
        find_stale(records_, small_registry(), experiment)
        == find_stale(records_, small_registry())
        == Staleness({}, ())
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "another machine's"))
    for asked in (experiment, None):
        found = find_stale(records_, small_registry(), asked)
        assert found.changed == {}
        assert any(f"checkpoint '{NAME}' is not on this machine" in told for told in found.not_compared)
    assert hub.asked == hub.revisions == []


def test_a_hub_id_without_the_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install workbench\[hf\]"):
        clip(checkpoint=NAME)
