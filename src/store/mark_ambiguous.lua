-- Marks a record as ambiguous: a try may have been accepted.  Where there is no
-- record, because it was claimed while Redis was away or Redis has lost it, one
-- is made.
--
-- KEYS: the record.
-- ARGV: owner, fingerprint, ttl and lease time in milliseconds.
--
-- Returns 1, or 0 if the record is not the owner's any more.

local owner, fingerprint, ttl = ARGV[1], ARGV[2], ARGV[3]

local record, foreign = read(KEYS[1])

if record and (foreign or record.state ~= 'in_flight'
               or record.owner ~= owner)
then
    return only_read(0)
end

if not record then
    redis.call('HSET', KEYS[1], 'version', VERSION,
               'fingerprint', fingerprint, 'begun', milliseconds(now),
               'owner', owner, 'lease', milliseconds(now))
    redis.call('PEXPIRE', KEYS[1], ttl)
end

redis.call('HSET', KEYS[1], 'state', 'ambiguous', 'maybe', '1')

return 1
