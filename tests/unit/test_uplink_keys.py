"""Keys are made once, kept for their owner alone, and refused with the command that repairs them."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edgegw.config.model import Uplink
from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.uplink.envelope import key_id
from edgegw.uplink.keys import (
    enrol_gateway,
    list_keys,
    load_cloud_keys,
    load_cloud_public,
    load_gateway_keys,
    load_gateway_publics,
    load_uplink_keys,
    new_cloud_keys,
    new_gateway_keys,
)
from edgegw.uplink.private_file import write_new


def refused(message_id: str, function, *arguments) -> EdgegwError:
    with pytest.raises(EdgegwError) as fault:
        function(*arguments)
    assert (message_id, EXIT_USAGE) == (fault.value.message_id, fault.value.exit_code)
    assert fault.value.next_step
    return fault.value


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_keys_are_for_their_owner_alone(tmp_path):
    """
    Private halves are 0600 in a directory 0700 whatever the umask, public halves 0644, and the halves belong together.
    """
    before = os.umask(0)
    try:
        fingerprint = new_gateway_keys(tmp_path / "gw", "op/st/gw")
        new_cloud_keys(tmp_path / "cloud")
    finally:
        os.umask(before)
    assert (0o700, 0o600, 0o644) == (mode(tmp_path / "gw"), mode(tmp_path / "gw/gateway-sign.pem"), mode(tmp_path / "gw/gateway.pub"))
    assert (0o600, 0o600, 0o644) == (mode(tmp_path / "cloud/cloud-open.pem"), mode(tmp_path / "cloud/cloud-sign.pem"), mode(tmp_path / "cloud/cloud.pub"))
    assert fingerprint == load_gateway_keys(tmp_path / "gw").fingerprint
    public, own = load_cloud_public(tmp_path / "cloud/cloud.pub"), load_cloud_keys(tmp_path / "cloud")
    assert public.seal.public_bytes_raw() == own.open.public_key().public_bytes_raw()
    assert public.verify.public_bytes_raw() == own.sign.public_key().public_bytes_raw()


@pytest.mark.parametrize("make", [new_gateway_keys, new_cloud_keys])
def test_a_key_is_never_overwritten(tmp_path, make):
    """
    Where a key lies, no new one is made, and the old one stays as it is.
    """
    make(tmp_path / "keys")
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir() if path.is_file()}
    refused("E-KEY-EXISTS", make, tmp_path / "keys")
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir() if path.is_file()}


def test_a_missing_key_names_the_command_that_makes_it(tmp_path):
    """
    Where there is no key, the next step is the command that makes one there.
    """
    assert f"edgegw keys new gateway --dir {tmp_path}" == refused("E-KEY-MISSING", load_gateway_keys, tmp_path).next_step
    assert f"edgegw keys new cloud --dir {tmp_path}" == refused("E-KEY-MISSING", load_cloud_keys, tmp_path).next_step
    refused("E-KEY-MISSING", load_cloud_public, tmp_path / "cloud.pub")


@pytest.mark.parametrize("wrong", [0o604, 0o640, 0o602, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused_until_repaired(tmp_path, wrong):
    """
    A key that group or others may read or write is refused, and the command that is told repairs it.
    """
    new_gateway_keys(tmp_path / "keys")
    (tmp_path / "keys/gateway-sign.pem").chmod(wrong)
    fault = refused("E-KEY-MODE", load_gateway_keys, tmp_path / "keys")
    subprocess.run(fault.next_step, shell=True, check=True)
    load_gateway_keys(tmp_path / "keys")


def test_a_symbolic_link_is_no_key(tmp_path):
    """
    A symbolic link in the place of a key is refused, and the command that is told puts the file there.
    """
    new_gateway_keys(tmp_path / "keys")
    key = tmp_path / "keys/gateway-sign.pem"
    key.rename(tmp_path / "elsewhere.pem")
    key.symlink_to(tmp_path / "elsewhere.pem")
    fault = refused("E-KEY-MODE", load_gateway_keys, tmp_path / "keys")
    subprocess.run(fault.next_step, shell=True, check=True)
    load_gateway_keys(tmp_path / "keys")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_owner_is_refused(tmp_path):
    """
    A key that belongs to another user is refused, and the command that is told repairs it.
    """
    new_gateway_keys(tmp_path / "keys")
    os.chown(tmp_path / "keys/gateway-sign.pem", 12345, 12345)
    fault = refused("E-KEY-MODE", load_gateway_keys, tmp_path / "keys")
    subprocess.run(fault.next_step, shell=True, check=True)
    load_gateway_keys(tmp_path / "keys")


def test_a_directory_that_others_may_change_is_refused(tmp_path):
    """
    A key in a directory that others may write could be exchanged, and is refused.
    """
    new_gateway_keys(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o770)
    assert f"chmod 700 {tmp_path / 'keys'}" == refused("E-KEY-MODE", load_gateway_keys, tmp_path / "keys").next_step


def test_a_public_half_that_others_may_change_is_refused(tmp_path):
    """
    A public half that others may write is refused: whoever exchanges it reads everything.
    """
    new_cloud_keys(tmp_path / "cloud")
    (tmp_path / "cloud/cloud.pub").chmod(0o666)
    assert "E-KEY-MODE" == refused("E-KEY-MODE", load_cloud_public, tmp_path / "cloud/cloud.pub").message_id


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", bytes(100_000)])
def test_damaged_keys_are_refused(tmp_path, content):
    """
    A damaged private or public half is refused without a traceback.
    """
    new_gateway_keys(tmp_path / "gw")
    new_cloud_keys(tmp_path / "cloud")
    (tmp_path / "gw/gateway-sign.pem").write_bytes(content)
    (tmp_path / "cloud/cloud.pub").write_bytes(content)
    assert "E-KEY-BAD" == refused("E-KEY-BAD", load_gateway_keys, tmp_path / "gw").message_id
    assert "E-KEY-BAD" == refused("E-KEY-BAD", load_cloud_public, tmp_path / "cloud/cloud.pub").message_id


def test_keys_in_each_others_place_are_refused(tmp_path):
    """
    A gateway's public half is no cloud's, and an opening key signs nothing.
    """
    new_gateway_keys(tmp_path / "gw")
    new_cloud_keys(tmp_path / "cloud")
    assert "E-KEY-BAD" == refused("E-KEY-BAD", load_cloud_public, tmp_path / "gw/gateway.pub").message_id
    (tmp_path / "cloud/cloud-open.pem").replace(tmp_path / "cloud/cloud-sign.pem")
    (tmp_path / "cloud/cloud-open.pem").write_bytes((tmp_path / "cloud/cloud-sign.pem").read_bytes())
    (tmp_path / "cloud/cloud-open.pem").chmod(0o600)
    assert "E-KEY-BAD" == refused("E-KEY-BAD", load_cloud_keys, tmp_path / "cloud").message_id


def test_a_gateway_key_speaks_for_one_gateway(tmp_path):
    """
    The receiver knows whose a key is by the file's own word or by its name, and refuses one that says nothing or two things.
    """
    new_gateway_keys(tmp_path / "a", "op/st/a")
    new_gateway_keys(tmp_path / "b")
    cloud = tmp_path / "cloud"
    (cloud / "gateways").mkdir(parents=True)
    enrol_gateway(tmp_path / "b/gateway.pub", cloud, "op/st/b")
    (cloud / "gateways/any.pub").write_bytes((tmp_path / "a/gateway.pub").read_bytes())
    assert {"op/st/a", "op/st/b"} == {public.gateway for public in load_gateway_publics(cloud).values()}
    refused("E-KEY-GATEWAY", enrol_gateway, tmp_path / "a/gateway.pub", cloud, "op/st/c")
    (cloud / "gateways/nobody.pub").write_bytes((tmp_path / "b/gateway.pub").read_bytes())
    refused("E-KEY-GATEWAY", load_gateway_publics, cloud)


def test_a_list_shows_no_private_half(tmp_path):
    """
    A list of keys names kind, fingerprint, time and file, and nothing of the private halves.
    """
    fingerprint = new_gateway_keys(tmp_path, "op/st/gw")
    new_cloud_keys(tmp_path)
    found = list_keys(tmp_path)
    assert ["gateway-sign", "cloud-open", "cloud-sign", "gateway", "cloud"] == [key.kind for key in found]
    assert [fingerprint, "op/st/gw"] == [found[3].fingerprint, found[3].gateway]
    assert "PRIVATE" not in repr(found)


def test_all_secrets_of_an_uplink_are_checked(tmp_path):
    """
    Certificate key and password file are held to the same rule as the keys.
    """
    new_gateway_keys(tmp_path / "keys")
    new_cloud_keys(tmp_path / "cloud")
    (tmp_path / "password").write_text("geheim\n")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "cert.key").write_text("key")
    (tmp_path / "cert.key").chmod(0o600)
    uplink = Uplink(
        name="cloud",
        broker="mqtts://broker.example",
        recipient_file=str(tmp_path / "cloud/cloud.pub"),
        cert_key_file=str(tmp_path / "cert.key"),
        password_file=str(tmp_path / "password"),
    )
    assert "geheim" == load_uplink_keys(uplink, str(tmp_path)).password
    (tmp_path / "cert.key").chmod(0o644)
    refused("E-KEY-MODE", load_uplink_keys, uplink, str(tmp_path))


@pytest.mark.parametrize("kind", [Ed25519PrivateKey, X25519PrivateKey])
def test_a_key_is_read_alike_with_and_without_the_library(tmp_path, kind):
    """
    The short form, as edgegw and openssl write it, is read at once; a file with words before the key needs the library.
    """
    key = kind.generate()
    short = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {
        "short": short,
        "windows": short.replace(b"\n", b"\r\n"),
        "words": b"the key of the cloud\n" + short,
    }
    for name, content in files.items():
        (tmp_path / name).mkdir(mode=0o700)
        write_new(tmp_path / name / ("cloud-open.pem" if kind is X25519PrivateKey else "cloud-sign.pem"), content, 0o600)
    found = {name: list_keys(tmp_path / name)[0].fingerprint for name in files}
    assert dict.fromkeys(files, key_id(key.public_key().public_bytes_raw()).hex()) == found
