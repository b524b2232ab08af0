"""The fields of certificates, read from their bytes, held against the library that makes them."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from edgegw.uplink.certificates import of_der, of_file
from edgegw.uplink.x509_fields import fields_of

KEY = generate_private_key(SECP256R1())
NOW = datetime(2026, 11, 21, 12, 30, 15, tzinfo=UTC)
PLAIN = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw1")])
NAMES = [
    PLAIN,
    x509.Name([]),
    x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "充电"), *PLAIN]),
    x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ' #a,b+c"d\\e<f>;g=h ')]),
    x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "#first"), x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b.example")]),
    x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x"), x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "y"), x509.NameAttribute(NameOID.USER_ID, "z")]),
    x509.Name([x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "one"), x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "two")])]),
    x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "宽", _ASN1Type.BMPString), x509.NameAttribute(NameOID.TITLE, "wide", _ASN1Type.UniversalString)]),
]
HOSTS = [x509.DNSName("mq.example"), x509.IPAddress(ipaddress.ip_address("10.1.2.3")), x509.RFC822Name("a@b.example")]
HOSTS += [x509.IPAddress(ipaddress.ip_address("2001:db8::1")), x509.DNSName("*.mq.example")]


def made(subject: x509.Name, issuer: x509.Name = PLAIN, hosts: list[x509.GeneralName] | None = None, ends: datetime = NOW) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(KEY.public_key()).serial_number(2**150 + 7)
    builder = builder.not_valid_before(NOW - timedelta(days=9000)).not_valid_after(ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=True)
    return builder.sign(KEY, hashes.SHA256())


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_the_library(name):
    """
    Order, escapes, several attributes on one level, numbers for rare ones and wide strings: subject and issuer read as the library writes them.
    """
    found = fields_of(der_of(made(name, issuer=NAMES[2])))
    assert name.rfc4514_string() == found.subject
    assert NAMES[2].rfc4514_string() == found.issuer


@pytest.mark.parametrize(
    "ends", [datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)]
)
def test_times_of_both_kinds(ends):
    """
    Two digits of a year before 2050, four from then on.
    """
    found = fields_of(der_of(made(PLAIN, ends=ends)))
    assert (NOW - timedelta(days=9000), ends) == (found.begins, found.ends)


def test_hosts_and_addresses():
    """
    Host names and addresses of both families; other kinds of names are left out.
    """
    found = fields_of(der_of(made(PLAIN, hosts=HOSTS)))
    assert ("mq.example", "*.mq.example") == found.host_names
    assert ("10.1.2.3", "2001:db8::1") == found.addresses
    assert ((), ()) == (fields_of(der_of(made(PLAIN))).host_names, fields_of(der_of(made(PLAIN))).addresses)


def test_a_file_of_several(tmp_path):
    """
    All certificates of a PEM file in their order, whatever text and keys stand between them.
    """
    first, second = made(NAMES[2]), made(PLAIN, hosts=HOSTS)
    private = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    parts = [b"first\n", first.public_bytes(serialization.Encoding.PEM), private, second.public_bytes(serialization.Encoding.PEM)]
    (tmp_path / "bundle.crt").write_bytes(b"".join(parts))
    assert [of_der(der_of(first)), of_der(der_of(second))] == of_file(tmp_path / "bundle.crt")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_a_value_error(data):
    """
    What is no certificate is refused in one way.
    """
    with pytest.raises(ValueError):
        fields_of(data)


@given(at=st.integers(min_value=0), instead=st.binary(min_size=0, max_size=3))
def test_a_damaged_certificate_is_read_or_refused(at, instead):
    """
    Bytes changed, missing or added anywhere end in fields or in a ValueError, and cutting it short always in the latter.
    """
    der = der_of(made(NAMES[3], hosts=HOSTS))
    at %= len(der)
    try:
        found = fields_of(der[:at] + instead + der[at + 1 :])
    except ValueError:
        found = None
    assert found is None or isinstance(found.subject, str)
    with pytest.raises(ValueError):
        fields_of(der[:at])
