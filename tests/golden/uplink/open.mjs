// A second decoder of edgegw's messages, written from docs/uplink.md alone, with nothing but Node.js 20:
//   node open.mjs < vector.json     {"kind", "context", "message", "signer_public", "recipient_private"}, keys and message in hexadecimal
// Prints what it opened as one line of JSON; fails with a message and exit code 1.

import { createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman, verify } from "node:crypto";
import { inflateRawSync } from "node:zlib";
import { readFileSync } from "node:fs";

const bytes = (...parts) => Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)));
const short = (number) => Buffer.from([number >> 8, number & 255]);
const sha256 = (data) => createHash("sha256").update(data).digest();
const keyId = (raw) => sha256(raw).subarray(0, 8);
const need = (condition, text) => { if (!condition) throw new Error(text); };

// -- keys from their 32 raw bytes

const x25519Private = (raw) => createPrivateKey({ key: bytes(Buffer.from("302e020100300506032b656e04220420", "hex"), raw), format: "der", type: "pkcs8" });
const x25519Public = (raw) => createPublicKey({ key: bytes(Buffer.from("302a300506032b656e032100", "hex"), raw), format: "der", type: "spki" });
const ed25519Public = (raw) => createPublicKey({ key: bytes(Buffer.from("302a300506032b6570032100", "hex"), raw), format: "der", type: "spki" });
const rawPublic = (privateKey) => createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32);

// -- HPKE, RFC 9180, base mode: DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, AES-256-GCM 0x0002

const KEM = bytes("KEM", short(0x20));
const HPKE = bytes("HPKE", short(0x20), short(1), short(2));
const hmac = (key, data) => createHmac("sha256", key).update(data).digest();
const extract = (suite, salt, label, secret) => hmac(salt.length ? salt : Buffer.alloc(32), bytes("HPKE-v1", suite, label, secret));
function expand(suite, key, label, info, length) {
  const labelled = bytes(short(length), "HPKE-v1", suite, label, info);
  let block = Buffer.alloc(0), out = Buffer.alloc(0);
  for (let counter = 1; out.length < length; counter++) out = bytes(out, (block = hmac(key, bytes(block, labelled, Buffer.from([counter])))));
  return out.subarray(0, length);
}

function hpkeOpen(ciphertext, recipient, info) {
  const encapsulated = ciphertext.subarray(0, 32), none = Buffer.alloc(0);
  const shared = diffieHellman({ privateKey: recipient, publicKey: x25519Public(encapsulated) });
  const secret = expand(KEM, extract(KEM, none, "eae_prk", shared), "shared_secret", bytes(encapsulated, rawPublic(recipient)), 32);
  const context = bytes(Buffer.from([0]), extract(HPKE, none, "psk_id_hash", none), extract(HPKE, none, "info_hash", info));
  const master = extract(HPKE, secret, "secret", none);
  const cipher = createDecipheriv("aes-256-gcm", expand(HPKE, master, "key", context, 32), expand(HPKE, master, "base_nonce", context, 12));
  cipher.setAuthTag(ciphertext.subarray(-16));
  return bytes(cipher.update(ciphertext.subarray(32, -16)), cipher.final());
}

// -- CBOR, RFC 8949: definite lengths, no tags

function cbor(data) {
  let at = 0;
  const take = (length) => { need(at + length <= data.length, "CBOR cut short"); return data.subarray(at, (at += length)); };
  const argument = (low) => {
    if (low < 24) return low;
    const raw = take(1 << (low - 24));
    const number = raw.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
    return number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number;
  };
  const simple = (low) => {
    if (low === 20 || low === 21) return low === 21;
    if (low === 22) return null;
    if (low === 26) return take(4).readFloatBE();
    if (low === 27) return take(8).readDoubleBE();
    if (low === 25) { const h = take(2).readUInt16BE(), e = (h >> 10) & 31, m = h & 1023; return (h >> 15 ? -1 : 1) * (e ? (e === 31 ? (m ? NaN : Infinity) : 2 ** (e - 15) * (1 + m / 1024)) : 2 ** -24 * m); }
    throw new Error(`CBOR simple value ${low}`);
  };
  const item = () => {
    const head = take(1)[0], major = head >> 5, low = head & 31;
    if (major === 7) return simple(low);
    const value = argument(low);
    if (major === 0) return value;
    if (major === 1) return typeof value === "bigint" ? -1n - value : -1 - value;
    if (major === 2) return Buffer.from(take(value));
    if (major === 3) return take(value).toString("utf8");
    if (major === 4) return Array.from({ length: value }, item);
    if (major === 5) return new Map(Array.from({ length: value }, () => [item(), item()]));
    throw new Error(`CBOR major type ${major}`);
  };
  const whole = item();
  need(at === data.length, "bytes behind the CBOR item");
  return whole;
}

// -- documents

const COUNT_QUALITY = 16;  // codes from here on have no value

function column(entry, valued) {
  if (entry === null) return [];
  if (entry instanceof Map) return entry.get(0);
  if (!Array.isArray(entry)) return valued.map(() => entry);
  let sum = 0;
  return entry.map((difference) => (sum += difference));
}

function blockRows([version, schema, t0, m0, clock, runs, stored = true], first) {
  need(version === 1, "block version");
  const mark = stored ? {} : { volatile: true };
  const rows = [];
  for (const [source, dt, period, residuals, columns, marks = []] of runs) {
    let mono = m0 + dt;
    const times = [mono, ...residuals.map((residual) => (mono += period + residual))];
    const quality = times.map(() => columns.map(() => 0));
    for (const [position, from, to, code] of marks)
      for (let row = from; row <= to; row++) for (let c = 0; c < columns.length; c++) if (position === null || position === c) quality[row][c] = code;
    const values = times.map(() => columns.map(() => null));
    columns.forEach((entry, c) => {
      const valued = times.map((_, row) => row).filter((row) => quality[row][c] < COUNT_QUALITY);
      const entries = column(entry, valued);
      need(entries.length === valued.length, "entries of a column");
      valued.forEach((row, rank) => (values[row][c] = entries[rank]));
    });
    times.forEach((time, row) => rows.push({ mono: time, source, at: t0 + time - m0, values: values[row], quality: quality[row] }));
  }
  rows.sort((a, b) => a.mono - b.mono || a.source - b.source);
  return { ...mark, schema: schema.toString("hex"), clock, rows: rows.map((row, rank) => [first + rank, row.source, row.at, row.values, row.quality]) };
}

function schemaPart([version, schema, total, offset, content]) {
  need(version === 3 && offset + content.length <= total, "part of a schema document");
  return { schema, total, offset, bytes: content };
}

// The whole document of parts in any order, checked by its name; null while one is missing.
function joined(parts) {
  const whole = Buffer.alloc(parts[0].total), known = Buffer.alloc(parts[0].total);
  for (const { offset, bytes: content } of parts) { content.copy(whole, offset); known.fill(1, offset, offset + content.length); }
  if (known.includes(0)) return null;
  need(sha256(whole).subarray(0, 8).equals(parts[0].schema), "name of the schema document");
  return whole;
}

function unpack(packed) {
  need(packed[0] === 1, "codec");
  return inflateRawSync(packed.subarray(1), { maxOutputLength: 4 * 1024 * 1024 });
}

// -- messages

function openSealed({ context, message, signer_public, recipient_private }) {
  const [header, ciphertext, signature] = cbor(Buffer.from(message, "hex"));
  const signer = Buffer.from(signer_public, "hex"), recipient = x25519Private(Buffer.from(recipient_private, "hex"));
  const [version, suite, kid, skid, gateway, epoch, stream, first, last] = cbor(header);
  need(version === 1 && suite === 1, "version or suite");
  need(skid.equals(keyId(signer)) && kid.equals(keyId(rawPublic(recipient))), "keys");
  need(verify(null, bytes(context, "\0", sha256(header), sha256(ciphertext)), ed25519Public(signer), signature), "signature");
  const document = unpack(hpkeOpen(ciphertext, recipient, bytes(context, "\0", header)));
  return { gateway, epoch: epoch.toString("hex"), stream, first, last, document };
}

function openSigned(context, { message, signer_public }) {
  const [body, signature] = cbor(Buffer.from(message, "hex"));
  const signer = Buffer.from(signer_public, "hex");
  need(verify(null, bytes(context, "\0", sha256(body)), ed25519Public(signer), signature), "signature");
  const [version, suite, skid, ...rest] = cbor(body);
  need(version === 1 && suite === 1 && skid.equals(keyId(signer)), "version, suite or key");
  return rest;
}

const rangesOf = (streams) => streams.flatMap(([epoch, stream, ranges]) => ranges.map(([first, last]) => [epoch.toString("hex"), stream, first, last]));

function openReceipt(vector) {
  const [gateway, at, streams] = openSigned("edgegw/1 receipt", vector);
  return { gateway, at, intervals: rangesOf(streams) };
}

function openCommand(vector) {
  const [gateway, counter, at, expires, name, args] = openSigned("edgegw/1 command", vector);
  return { gateway, counter, at, expires, name, intervals: name === "resend" ? rangesOf(args) : args };
}

function openParcel({ message }) {
  const file = Buffer.from(message, "hex"), kind = Buffer.from("edgegw/1 sealed\n"), messages = [];
  need(file.subarray(0, kind.length).equals(kind), "kind of file");
  let at = kind.length;
  for (let length; (length = file.readUInt32BE(at)) > 0; at += 4 + length) messages.push(file.subarray(at + 4, at + 4 + length).toString("hex"));
  need(at + 4 === file.length, "bytes behind the end");
  return { messages };
}

function openSchemaParts(vector) {
  const parts = vector.messages.map((message) => schemaPart(cbor(openSealed({ ...vector, message }).document)));
  const whole = joined(parts);
  return { schema: parts[0].schema, content: whole && cbor(whole)[2] };
}

function open(vector) {
  if (vector.kind === "receipt") return openReceipt(vector);
  if (vector.kind === "command") return openCommand(vector);
  if (vector.kind === "parcel") return openParcel(vector);
  if (vector.kind === "schema-parts") return openSchemaParts(vector);
  const { document, ...opened } = openSealed(vector);
  const content = cbor(document);
  if (["readings", "padded", "volatile"].includes(vector.kind)) return { ...opened, ...blockRows(content, opened.first) };
  return { ...opened, content: vector.kind === "events" ? content[1] : content[2] };
}

const plain = (_, value) => {
  if (value instanceof Map) return Object.fromEntries(value);
  if (typeof value === "bigint") return value.toString();
  return value && value.type === "Buffer" ? Buffer.from(value.data).toString("hex") : value;
};

try {
  console.log(JSON.stringify(open(JSON.parse(readFileSync(0, "utf8"))), plain));
} catch (fault) {
  console.error(fault.message);
  process.exitCode = 1;
}
