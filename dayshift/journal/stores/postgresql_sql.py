"""The SQL of store `postgresql`: tables, and one statement for each thing to do.

Every statement is atomic by itself and may be repeated. `{s}` is the schema; the first
two values are always the estate and the journal.
"""

from __future__ import annotations

from typing import Final

TABLES: Final = """
CREATE TABLE IF NOT EXISTS {s}.journals (
    estate text, journal text, head_seq bigint NOT NULL DEFAULT 0,
    head_hash bytea NOT NULL, leader bytea, nonce text, until timestamptz,
    moved text NOT NULL DEFAULT '', PRIMARY KEY (estate, journal));
CREATE TABLE IF NOT EXISTS {s}.records (
    estate text, journal text, seq bigint, hash bytea NOT NULL, data bytea NOT NULL,
    PRIMARY KEY (estate, journal, seq));
CREATE TABLE IF NOT EXISTS {s}.heads (
    estate text, journal text, seq bigint, note bytea NOT NULL,
    signature bytea NOT NULL, PRIMARY KEY (estate, journal, seq));
CREATE TABLE IF NOT EXISTS {s}.snapshots (
    estate text, journal text, seq bigint, hash bytea NOT NULL, sha256 bytea NOT NULL,
    data bytea NOT NULL, PRIMARY KEY (estate, journal, seq));
CREATE TABLE IF NOT EXISTS {s}.keys (
    estate text, journal text, public_hex text, made bigserial,
    PRIMARY KEY (estate, journal, public_hex));
CREATE TABLE IF NOT EXISTS {s}.inbox (
    estate text, journal text, token text, data bytea NOT NULL, made bigserial,
    PRIMARY KEY (estate, journal, token));
CREATE TABLE IF NOT EXISTS {s}.waves (
    estate text PRIMARY KEY, owner text NOT NULL, wave bytea NOT NULL)
"""
SCHEMA: Final = "CREATE SCHEMA IF NOT EXISTS {s}"
EXISTS: Final = "SELECT 1 FROM {s}.waves LIMIT 1"
ROW: Final = """
INSERT INTO {s}.journals (estate, journal, head_hash) VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING
"""

HEAD: Final = """
SELECT head_seq, head_hash FROM {s}.journals WHERE estate = %s AND journal = %s
"""
LEADER: Final = """
SELECT leader FROM {s}.journals
WHERE estate = %s AND journal = %s AND until > clock_timestamp()
"""
LIVE: Final = """
SELECT head_seq, head_hash, until > clock_timestamp(),
    EXISTS (SELECT 1 FROM {s}.inbox i
            WHERE i.estate = j.estate AND i.journal = j.journal)
FROM {s}.journals j WHERE estate = %s AND journal = %s
"""
HASH_AT: Final = """
SELECT hash FROM {s}.records WHERE estate = %s AND journal = %s AND seq = %s
"""
PAGE: Final = """
SELECT seq, hash, data FROM {s}.records
WHERE estate = %s AND journal = %s AND seq > %s ORDER BY seq LIMIT %s
"""
HEADS: Final = """
SELECT seq, note, signature FROM {s}.heads
WHERE estate = %s AND journal = %s AND seq > %s ORDER BY seq LIMIT %s
"""
LAST_HEAD: Final = """
SELECT seq, note, signature FROM {s}.heads
WHERE estate = %s AND journal = %s ORDER BY seq DESC LIMIT 1
"""
SNAPSHOTS: Final = """
SELECT seq, hash, sha256, data FROM {s}.snapshots
WHERE estate = %s AND journal = %s ORDER BY seq DESC
"""
KEYS: Final = """
SELECT public_hex FROM {s}.keys WHERE estate = %s AND journal = %s ORDER BY made
"""
MOVED: Final = """
SELECT moved FROM {s}.journals WHERE estate = %s AND journal = %s
"""
WAVE: Final = "SELECT wave FROM {s}.waves WHERE estate = %s"

POST: Final = """
INSERT INTO {s}.inbox (estate, journal, token, data) VALUES (%s, %s, %s, %s)
ON CONFLICT (estate, journal, token) DO UPDATE SET data = EXCLUDED.data
"""
INBOX: Final = """
SELECT token, data FROM {s}.inbox
WHERE estate = %s AND journal = %s ORDER BY made LIMIT 256
"""
TAKE: Final = """
DELETE FROM {s}.inbox WHERE estate = %s AND journal = %s AND token = %s
"""

LEAD: Final = """
UPDATE {s}.journals SET leader = %s, nonce = %s,
    until = clock_timestamp() + %s * interval '1 millisecond'
WHERE estate = %s AND journal = %s AND head_seq = %s AND head_hash = %s
    AND (until IS NULL OR until <= clock_timestamp() OR nonce = %s)
RETURNING 1
"""
RENEW: Final = """
UPDATE {s}.journals SET until = clock_timestamp() + %s * interval '1 millisecond'
WHERE estate = %s AND journal = %s AND nonce = %s AND until > clock_timestamp()
RETURNING 1
"""
LEAVE: Final = """
UPDATE {s}.journals SET leader = NULL, nonce = NULL, until = NULL
WHERE estate = %s AND journal = %s AND nonce = %s
"""
APPEND: Final = """
WITH leader AS (
    UPDATE {s}.journals SET head_seq = %(end_seq)s, head_hash = %(end_hash)s
    WHERE estate = %(estate)s AND journal = %(journal)s
        AND head_seq = %(seq)s AND head_hash = %(hash)s
        AND nonce = %(nonce)s AND until > clock_timestamp()
    RETURNING estate, journal),
written AS (
    INSERT INTO {s}.records (estate, journal, seq, hash, data)
    SELECT l.estate, l.journal, r.seq, r.hash, r.data
    FROM leader l, unnest(%(seqs)s::bigint[], %(hashes)s::bytea[], %(datas)s::bytea[])
        AS r (seq, hash, data))
SELECT 1 FROM leader
"""
LEADING: Final = """
SELECT 1 FROM {s}.journals
WHERE estate = %(estate)s AND journal = %(journal)s AND nonce = %(nonce)s
    AND until > clock_timestamp()
"""
PUT_HEAD: Final = (
    """
INSERT INTO {s}.heads (estate, journal, seq, note, signature)
SELECT %(estate)s, %(journal)s, %(seq)s, %(note)s, %(signature)s WHERE EXISTS ("""
    + LEADING
    + """) ON CONFLICT (estate, journal, seq)
DO UPDATE SET note = EXCLUDED.note, signature = EXCLUDED.signature
"""
)
PUT_SNAPSHOT: Final = (
    """
INSERT INTO {s}.snapshots (estate, journal, seq, hash, sha256, data)
SELECT %(estate)s, %(journal)s, %(seq)s, %(hash)s, %(sha256)s, %(data)s
WHERE EXISTS ("""
    + LEADING
    + """) ON CONFLICT (estate, journal, seq)
DO UPDATE SET hash = EXCLUDED.hash, sha256 = EXCLUDED.sha256, data = EXCLUDED.data
"""
)
DROP_SNAPSHOTS: Final = """
DELETE FROM {s}.snapshots WHERE estate = %s AND journal = %s AND seq NOT IN
    (SELECT seq FROM {s}.snapshots WHERE estate = %s AND journal = %s
     ORDER BY seq DESC LIMIT %s)
"""
PUT_KEY: Final = (
    """
INSERT INTO {s}.keys (estate, journal, public_hex)
SELECT %(estate)s, %(journal)s, %(key)s WHERE EXISTS ("""
    + LEADING
    + ") ON CONFLICT DO NOTHING"
)
SET_MOVED: Final = """
UPDATE {s}.journals SET moved = %(to)s
WHERE estate = %(estate)s AND journal = %(journal)s AND nonce = %(nonce)s
    AND until > clock_timestamp()
"""
TAKE_WAVE: Final = (
    """
INSERT INTO {s}.waves AS w (estate, owner, wave)
SELECT %(estate)s, %(owner)s, %(wave)s WHERE EXISTS ("""
    + LEADING
    + """) ON CONFLICT (estate) DO UPDATE SET wave = EXCLUDED.wave
WHERE w.owner = EXCLUDED.owner
RETURNING 1
"""
)
RELEASE_WAVE: Final = "DELETE FROM {s}.waves WHERE estate = %s AND owner = %s"
