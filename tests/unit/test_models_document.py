"""docs/models.md says of each family what the register says."""

from pathlib import Path

import pytest

from inference.adapters.families import FAMILIES, Family

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines()


def row(*cells: str) -> list[str]:
    """The table rows that begin with these cells."""
    begin = "| " + " | ".join(cells) + " |"
    return [line for line in LINES if line.startswith(begin)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_a_family_stands_in_the_document_as_in_the_register(family: Family) -> None:
    tasks = ", ".join(family.tasks)
    expected = row(f"`{family.model_type}`", family.name, family.code, tasks, family.streaming, family.times)
    assert len(expected) == 1
    proof = family.evidence[0]
    assert row(family.name, proof.proof, f"{proof.shows} (`{proof.test}`)")
    for evidence in family.evidence:
        assert any(f"`{evidence.test}`" in line for line in LINES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_what_a_checkpoint_takes_is_what_the_register_computes(family: Family) -> None:
    for published in family.published:
        memory = family.memory(published.config, seconds=30.0)
        (line,) = [line for line in LINES if line.startswith(f"| {published.name} ")]
        _, parameters, weights, stream = [cell.strip() for cell in line.strip("|").split("|")]
        assert parameters == f"{family.parameters(published.config) / 1e6:.0f} M"
        assert weights == f"{memory.weights_bytes / 1e9:.2f} GB"
        assert stream == f"{memory.stream_bytes / 1e6:.1f} MB"
