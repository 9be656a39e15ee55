"""Renewal: a new certificate is noticed and used, a bad one is told once and the old one used on."""

from __future__ import annotations

import datetime as dt
import os
import ssl

import httpx
import pytest
import trio

from cluster import pki
from cluster.hosts import Address
from meltica import renewal
from meltica.api.server import ApiPlace, context_of, serve_api
from meltica.config import TlsFiles, TokenFiles
from meltica.renewal import Renewal, keep_renewing
from meltica.telemetry.logs import make_logger
from tests.meltica.api.conftest import EXPOSITION, VIEWER, FakeView


def now():
    return dt.datetime.now(dt.UTC)


class Files:
    """A node's pair, and what a renewal of it did."""

    def __init__(self, folder):
        pki.create(folder, "c", ["n1", "n2"], now())
        self.folder = folder
        self.tls = TlsFiles(ca=folder / "ca.pem", cert=folder / "n1.pem", key=folder / "n1.key")
        self.uses = 0
        self.used = trio.Event()
        self.fails = ""
        self.said = []
        self.renewal = Renewal(pki.credentials(folder, "n1"), "n1", self._use, lambda: context_of(self.tls), self._say)
        self.renewal.start()

    def _use(self):
        if self.fails:
            raise OSError(self.fails)
        self.uses += 1
        self.used.set()

    def _say(self, what, text):
        self.said.append((what, text))

    def look(self):
        self.renewal.take(self.renewal.look())

    def break_it(self):
        (self.folder / "n1.key").write_bytes((self.folder / "n2.key").read_bytes())


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path / "pki")


def test_what_was_there_at_the_start_is_in_use_and_nothing_is_done_again(files):
    for _ in range(3):
        files.look()
    assert (files.uses, files.said, files.renewal.newest()) == (0, [], None)
    assert files.renewal.document()["refused"] == ""


def test_a_new_pair_is_used_once(files):
    old = files.renewal.certificate
    new = pki.renew(files.folder, "n1", now())
    for _ in range(3):
        files.look()
    assert files.uses == 1
    assert files.renewal.certificate == new != old
    assert files.renewal.newest() is not None
    assert files.said == [("renewed", f"valid until {new.not_after:%Y-%m-%d}")]


def test_a_pair_that_does_not_match_is_told_once_and_the_old_one_stays_in_use(files):
    old = files.renewal.certificate
    files.break_it()
    files.look()
    assert files.said == []  # two files do not change in one moment
    for _ in range(3):
        files.look()
    ((what, text),) = files.said
    assert what == "refused"
    assert "the key is not the certificate's" in text
    assert (files.uses, files.renewal.certificate, files.renewal.newest()) == (0, old, None)
    assert files.renewal.document()["refused"] == "the key is not the certificate's"
    new = pki.renew(files.folder, "n1", now())
    files.look()
    assert files.renewal.certificate == new
    assert files.renewal.document()["refused"] == ""


def test_another_s_pair_is_refused(files):
    for kind in ("pem", "key"):
        (files.folder / f"n1.{kind}").write_bytes((files.folder / f"n2.{kind}").read_bytes())
    files.look()
    files.look()
    assert "names n2, localhost, not n1" in files.said[0][1]


def test_files_that_are_gone_are_told_and_the_old_pair_stays_in_use(files):
    (files.folder / "n1.pem").rename(files.folder / "aside")
    files.look()
    files.look()
    files.look()
    assert [what for what, _ in files.said] == ["refused"]
    (files.folder / "aside").rename(files.folder / "n1.pem")
    files.look()
    assert files.renewal.document()["refused"] == ""
    assert files.uses == 0


def test_files_that_change_while_they_are_read_are_read_again(files, monkeypatch):
    def made(*given):
        os.utime(files.folder / "n1.pem")
        return found(*given)

    found = renewal.check
    pki.renew(files.folder, "n1", now())
    monkeypatch.setattr(renewal, "check", made)
    assert files.renewal.look() is None
    monkeypatch.setattr(renewal, "check", found)
    files.look()
    assert files.uses == 1


def test_what_the_peer_links_can_t_use_the_api_does_not_use_either(files):
    files.fails = "no"
    pki.renew(files.folder, "n1", now())
    files.look()
    files.look()
    assert files.said[0][0] == "refused"
    assert files.renewal.newest() is None


async def test_looking_goes_on(files, monkeypatch):
    monkeypatch.setattr(renewal, "EVERY_S", 0.001)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_renewing, files.renewal)
        with trio.fail_after(10):
            for count in (1, 2):
                files.used = trio.Event()
                pki.renew(files.folder, "n1", now())
                await files.used.wait()
                assert files.uses >= count
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("certified", [True, False])
async def test_the_api_shows_the_new_certificate_to_new_connections_and_keeps_those_that_are_up(
    files, tmp_path, certified
):
    """To callers with a certificate of their own too: it is checked by what the new context trusts."""
    for role in ("viewer", "operator"):
        (tmp_path / role).write_text(VIEWER if role == "viewer" else "o" * 43)
    tokens = TokenFiles(viewer_file=tmp_path / "viewer", operator_file=tmp_path / "operator")
    place = ApiPlace(Address("127.0.0.1", 0), files.tls, tokens, newest=files.renewal.newest)
    stop = trio.Event()
    trust = ssl.create_default_context(cafile=str(files.tls.ca))
    if certified:
        trust.load_cert_chain(files.folder / "operator.pem", files.folder / "operator.key")

    async def ask(client):
        answer = await client.get(f"{url}/livez", headers={"Authorization": f"Bearer {VIEWER}"})
        assert answer.status_code == 200
        stream = answer.extensions["network_stream"]
        return stream.get_extra_info("ssl_object").getpeercert(binary_form=True)

    async with trio.open_nursery() as nursery:
        url = await nursery.start(serve_api, place, FakeView(), lambda: EXPOSITION, make_logger("n1", "error"), stop)
        async with httpx.AsyncClient(verify=trust, trust_env=False) as up, httpx.AsyncClient(verify=trust) as late:
            old = await ask(up)
            pki.renew(files.folder, "n1", now())
            files.look()
            assert await ask(up) == old
            assert await ask(late) == ssl.PEM_cert_to_DER_cert((files.folder / "n1.pem").read_text()) != old
        stop.set()
