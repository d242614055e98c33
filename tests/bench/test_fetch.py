"""Fetching from the collection, without a network."""

import io
import tarfile
import urllib.error

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

pytest.importorskip("bench.suitesparse")

from bench import sources, suitesparse


def archive(name, member=None):
    text, packed = io.BytesIO(), io.BytesIO()
    scipy.io.mmwrite(text, sp.csr_array(np.diag([1.0, 2.0, 3.0])))
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo(member or f"{name}/{name}.mtx")
        info.size = len(text.getvalue())
        tar.addfile(info, io.BytesIO(text.getvalue()))
    return packed.getvalue()


class Opener:
    def __init__(self, content):
        self.content = content
        self.calls = []

    def __call__(self, address, timeout):
        self.calls.append(address)
        if isinstance(self.content, Exception):
            raise self.content
        return io.BytesIO(self.content)


def test_fetches_once_and_keeps_a_checksum(tmp_path):
    opener = Opener(archive("bcsstk01"))

    def fetch(name, cache):
        return suitesparse.fetch(name, cache, opener=opener)

    (source,) = sources.resolve(["HB/bcsstk01"], tmp_path, fetch=fetch)
    assert opener.calls == ["https://sparse.tamu.edu/MM/HB/bcsstk01.tar.gz"]
    assert source.problem == "bcsstk01"
    assert sources.load(source).A.diagonal().tolist() == [1.0, 2.0, 3.0]
    assert (tmp_path / "HB" / "bcsstk01.tar.gz.sha256").read_text().endswith(".tar.gz\n")
    sources.resolve(["HB/bcsstk01"], tmp_path, fetch=fetch)
    assert len(opener.calls) == 1


def test_a_changed_archive_is_refused(tmp_path):
    opener = Opener(archive("a"))
    suitesparse.fetch("G/a", tmp_path, opener=opener)
    with (tmp_path / "G" / "a.tar.gz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="must have the SHA-256"):
        suitesparse.fetch("G/a", tmp_path, opener=opener)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (urllib.error.URLError("no name server"), "there is no way there: no name server"),
        (TimeoutError("timed out"), "there is no way there: timed out"),
        (urllib.error.HTTPError("", 404, "", {}, None), "got HTTP 404"),
        (b"<html>", "must hold a/a.mtx; got ReadError"),
        (archive("a", "../../etc/a.mtx"), "must hold a/a.mtx; got KeyError"),
    ],
)
def test_says_in_one_sentence_what_is_missing(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        suitesparse.fetch("G/a", tmp_path, opener=Opener(content))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "G" / "a.mtx").exists()
