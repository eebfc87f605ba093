"""A reader's own section comes in from any file, and what is wrong with it is said by name."""

import numpy as np
import pytest
import torch
from PIL import Image

from chapters.ch09_inception.own import installed_line, own_section
from memprior.geology import SECTION_FACIES, sections


@pytest.mark.parametrize("facies", SECTION_FACIES)
def test_section_of_an_array_is_standardized_and_known_by_its_axes(tmp_path, facies):
    drawn = sections(facies, 1, seed=0, size=(64, 48)).seismic[0]
    file = tmp_path / "mine.npy"
    np.save(file, 7 * drawn.numpy() + 3)
    found = own_section(file)
    assert found.shape == (1, 64, 48)
    assert torch.allclose(found[0], (drawn - drawn.mean()) / drawn.std(correction=0), atol=1e-5)
    np.save(file, drawn.T.numpy())
    assert torch.allclose(own_section(file, time_first=False), found, atol=1e-5)
    with pytest.raises(ValueError, match=r"section mine.npy: expected more change along time.*on its side"):
        own_section(file)
    assert own_section(file, check_axes=False).shape == (1, 48, 64)


def test_line_is_found_by_the_metadata_of_its_package_and_not_imported(tmp_path, monkeypatch):
    assert installed_line() is None or installed_line().suffix == ".segy"
    info, line = tmp_path / "segyrecover-1.3.1.dist-info", tmp_path / "segyrecover" / "examples" / "line.segy"
    for folder in (info, line.parent):
        folder.mkdir(parents=True)
    line.write_bytes(b"")
    (tmp_path / "segyrecover" / "__init__.py").write_text("raise RuntimeError('imported')")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: segyrecover\nVersion: 1.3.1\n")
    (info / "RECORD").write_text("segyrecover/examples/line.segy,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_line() == line


def test_section_of_a_picture_is_its_gray(tmp_path):
    drawn = sections("parallel", 1, seed=0, size=(64, 48)).seismic[0]
    gray = (127 + 40 * drawn).clamp(0, 255).byte().numpy()
    file = tmp_path / "mine.png"
    Image.fromarray(gray).save(file)
    found, given = own_section(file)[0], torch.from_numpy(gray).float()
    assert torch.allclose(found, (given - given.mean()) / given.std(correction=0), atol=1e-5)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(4), r"expected numbers \(time, traces\), got float64 \(4,\)"),
        (np.array([["a"]]), r"expected numbers \(time, traces\)"),
        (np.array([[{}]], dtype=object), r"expected an array of numbers, got .*pickle"),
        (np.full((4, 4), np.nan), r"expected finite numbers"),
        (np.eye(4) * (np.arange(4) > 0), r"expected traces that are not zero"),
        (np.ones((4, 4)), r"expected amplitudes that vary"),
    ],
)
def test_section_that_is_none_is_refused_by_name(tmp_path, array, message):
    file = tmp_path / "bad.npy"
    np.save(file, array, allow_pickle=True)
    with pytest.raises(ValueError, match=f"section bad.npy: {message}"):
        own_section(file)


def test_section_of_another_format_or_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path: expected a file"):
        own_section(tmp_path / "nowhere.npy")
    file = tmp_path / "mine.txt"
    file.write_text("1 2")
    with pytest.raises(ValueError, match=r"section mine.txt: expected SEG-Y, .npy or one of .png"):
        own_section(file)


def test_section_of_segy_is_its_live_traces(tmp_path, monkeypatch):
    """What read_traces gives, whose own tests read files: dead traces are left out."""
    from memprior.waves import segy

    drawn = sections("parallel", 1, seed=0, size=(64, 48)).seismic[0]
    kinds = torch.ones(48, dtype=torch.int64)
    kinds[5] = 2
    given = segy.SegyTraces(drawn.T.contiguous(), 0.004, 0.0, torch.zeros(48), kinds)
    monkeypatch.setattr("chapters.ch09_inception.own.read_traces", lambda _: given)
    file = tmp_path / "mine.sgy"
    file.touch()
    assert own_section(file).shape == (1, 64, 47)
